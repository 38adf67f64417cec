"""Plots of a trial (matplotlib): predictions, error by family, intervals by device."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acesniper.predictor.accuracy import PredictionOutcome
from acesniper.predictor.pcn.evaluation.cross_validation import ALL_OBSERVED
from acesniper.predictor.pcn.evaluation.report import OURS, Document, Trial, label

PANELS: Sequence[tuple[str, int]] = (
    ("seen device", ALL_OBSERVED),
    ("new device", 0),
    ("new runtime", 0),
)
"""Splits that are drawn, and after how many observations."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#999933")
"""Okabe and Ito's palette without yellow, also suitable for colour-blind readers."""

MARKS = "osD^vP<X"
"""Markers, a second way to distinguish runtimes."""


def write_plots(done: Trial, document: Document, folder: Path) -> list[Path]:
    """Write the pictures into `folder`, and say where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    with style():
        figures = {
            "predicted.png": predicted(done),
            "families.svg": families(document),
            "intervals.svg": intervals(done, document),
        }
        for name, figure in figures.items():
            # A date would make every run another file.
            kept = {"Date": None} if name.endswith(".svg") else None
            figure.savefig(folder / name, dpi=110, bbox_inches="tight", metadata=kept)
    return [folder / name for name in figures]


def style() -> AbstractContextManager[None]:
    """A light page with thin lines; the same files in every run."""
    return matplotlib.rc_context(
        {
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.edgecolor": "#57606a",
            "axes.grid": True,
            "grid.color": "#d8dee4",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "legend.frameon": False,
            "svg.fonttype": "none",  # text stays text
            "svg.hashsalt": "acesniper",
        }
    )


def predicted(done: Trial) -> Figure:
    """Predicted against measured, a panel for each split, a colour for each runtime."""
    figure = Figure(figsize=(11, 4))
    panels = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    runtimes = [str(name) for name in np.unique(done.data.runtimes)]
    for axes, (split, count) in zip(panels, PANELS, strict=True):
        cells = done.outcome(split, count)
        of_platform = dict(zip(done.data.platforms, done.data.runtimes, strict=True))
        rows = np.array([of_platform[name] for name in done.devices(split)])
        for turn, runtime in enumerate(runtimes):
            _points(axes, cells, rows == runtime, runtime, turn)
        _diagonal(axes, cells)
        axes.set(title=f"{split} ({label(count)} observed)", xlabel="measured, ms")
    panels[0].set_ylabel("predicted, ms")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", markerscale=2)
    figure.subplots_adjust(right=0.87, wspace=0.08)
    return figure


def _points(axes: Axes, cells: PredictionOutcome, rows: np.ndarray, name: str, turn: int) -> None:
    at = cells.wanted & rows[:, None]
    axes.scatter(
        np.exp(cells.measured[at]) * 1e3,
        np.exp(cells.predicted[at]) * 1e3,
        s=7,
        marker=MARKS[turn % len(MARKS)],
        color=COLOURS[turn % len(COLOURS)],
        alpha=0.6,
        linewidths=0,
        label=name,
    )


def _diagonal(axes: Axes, cells: PredictionOutcome) -> None:
    """Where predictions are right, and a band of 20 % around it."""
    measured = np.exp(cells.measured[cells.wanted]) * 1e3
    ends = np.array([measured.min(), measured.max()])
    axes.set(xscale="log", yscale="log")
    axes.fill_between(ends, ends / 1.2, ends * 1.2, color="#57606a", alpha=0.15, linewidth=0)
    axes.plot(ends, ends, color="#57606a", linewidth=0.9)


def families(document: Document) -> Figure:
    """The mean error of each family on new devices, sorted, with its median as a tick."""
    split, count = PANELS[1]
    found = document["splits"][split][label(count)][OURS]["families"]
    names = sorted(found, key=lambda name: float(found[name]["mean"]))
    figure = Figure(figsize=(max(4.0, 0.115 * len(names)), 3.2))
    axes = figure.subplots()
    places = np.arange(len(names))
    axes.bar(places, [found[name]["mean"] for name in names], color=COLOURS[0], width=0.75)
    medians = [found[name]["median"] for name in names]
    axes.scatter(places, medians, marker="_", s=18, color=COLOURS[1], zorder=3, label="median")
    axes.set_xticks(places, names, rotation=90, fontsize=6)
    axes.set(title=f"Error of hidden families, {split}", ylabel="mean error, %")
    axes.set_xlim(-1, len(names))
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper left")
    return figure


def intervals(done: Trial, document: Document) -> Figure:
    """Coverage and width of 90 % intervals on each device, for each split."""
    names = sorted(str(platform) for platform in done.data.platforms)
    figure = Figure(figsize=(9, 0.9 + 0.24 * len(names)))
    left, right = figure.subplots(1, 2, sharey=True)
    for turn, (split, count) in enumerate(PANELS):
        found = document["splits"][split][label(count)][OURS]["devices"]
        places = np.arange(len(names)) + 0.22 * (turn - 1)
        kind = {"color": COLOURS[turn], "marker": MARKS[turn], "s": 22, "label": split}
        left.scatter([found[name]["coverage90"] for name in names], places, **kind)
        widths = [1 + found[name]["width90"] / 100 for name in names]
        right.scatter(widths, places, **kind)
    left.axvline(90, color="#57606a", linewidth=0.9)
    left.set_yticks(np.arange(len(names)), names)
    left.invert_yaxis()
    left.set(title="Coverage of 90 % intervals", xlabel="measurements inside, %")
    right.set(title="Width (median)", xlabel="high end / low end", xlim=(1, None))
    right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
