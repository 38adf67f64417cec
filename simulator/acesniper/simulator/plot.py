"""Plot of a comparison of policies: waiting and response times (matplotlib)."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acesniper.simulator.comparison import ComparisonRow

OWN, OTHER = "#0072B2", "#E69F00"

PANELS: Sequence[tuple[str, Callable[[ComparisonRow], float]]] = (
    ("mean response, s", lambda row: row.statistics.mean_response_s),
    ("95 % of responses within, s", lambda row: row.statistics.p95_response_s),
    ("mean wait, s", lambda row: row.statistics.mean_wait_s),
    ("tasks finished per s", lambda row: row.statistics.throughput_per_s),
)


def plot_comparison(lines: Sequence[ComparisonRow], path: Path, title: str) -> None:
    """Write a bar chart with one panel per statistic; the suffix of the file is its format."""
    figure = Figure(figsize=(11, 1.5 + 0.28 * len(lines)))
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (name, value) in zip(panels, PANELS, strict=True):
        _bars(axes, lines, [value(line) for line in lines], name)
    figure.suptitle(title, fontsize=10)
    kept = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata=kept)


def _bars(axes: Axes, lines: Sequence[ComparisonRow], values: Sequence[float], name: str) -> None:
    names = [line.policy for line in lines]
    oracles = [
        row.statistics.mean_response_s / row.response_over_oracle if name == PANELS[0][0] else None
        for row in lines
    ]
    axes.barh(names, values, color=OWN, height=0.7)
    marks = [(x, y) for y, x in enumerate(oracles) if x is not None]
    if marks:
        axes.plot(*zip(*marks, strict=True), "|", color=OTHER, markersize=11, label="oracle")
        axes.legend(frameon=False, fontsize=8)
    axes.set_title(name, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", linewidth=0.5, color="#d8dee4")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
