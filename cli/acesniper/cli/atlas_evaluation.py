"""Evaluation of the method on the atlas: running it, and its tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acesniper.cli.console import err, out
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from acesniper.predictor.pcn.evaluation.report import Document, Trial

HEADINGS = {
    "mean": "mean",
    "median": "med.",
    "within10": "<10%",
    "within20": "<20%",
    "spearman": "spear.",
    "regret": "regret",
    "coverage90": "cover",
    "width90": "width",
    "worst_device_mean": "worst",
    "worst_device_coverage90": "(cover)",
}
"""Figures that are printed, with their column headings; the JSON output has all figures."""
STEPS = 250
"""Training steps, as in `acesniper train`."""


def evaluate_atlas(
    folder: Path | None,
    observations: int = 20,
    json_file: Path | None = None,
    *,
    steps: int = STEPS,
    per_device: bool = False,
    with_ablation: bool = False,
) -> None:
    """Hold out families with devices and with runtimes in turn; print and write the figures."""
    _, document = measure_errors(folder, observations, steps=steps, with_ablation=with_ablation)
    if json_file is not None:
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    out().print(report_tables(document, per_device=per_device))


def measure_errors(
    folder: Path | None,
    observations: int,
    *,
    steps: int = STEPS,
    with_ablation: bool = False,
) -> "tuple[Trial, Document]":
    """Train and test on an atlas; returns the trial and its figures.

    Raises:
        InvalidInput: torch is not installed.
    """
    try:
        from acesniper.predictor.pcn.evaluation.report import ablation, finite, report, run_trial
        from acesniper.predictor.pcn.train import TrainingSettings
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"evaluating on the atlas needs the package {error.name!r}:"
            " pip install acesniper[train]"
        ) from error
    from acesniper.predictor.pcn.dataset import atlas_dataset

    data = atlas_dataset(folder)
    with err().status("training") as status:
        finished = run_trial(data, TrainingSettings(steps=steps), observations, status.update)
        document = report(finished)
        if with_ablation:
            document["ablation"] = ablation(finished, status.update)
    return finished, finite(document)


def first_networks(count: int) -> list[str]:
    """The networks of the atlas whose latencies on a newly probed device are most informative.

    They depend on which probes of the suite ran, not on the readings; all are assumed to have run.
    """
    from acesniper.predictor.atlas.latencies import read_platforms
    from acesniper.predictor.pcn.serve import PcnPredictor
    from acesniper.predictor.similarity import known_networks

    known = known_networks()
    probed = max(
        (platform.vector for platform in read_platforms()), key=lambda vector: len(vector.readings)
    )
    chosen = PcnPredictor.load().next_to_observe(list(known.values()), probed, count)
    return [list(known)[index] for index in chosen]


def report_tables(document: "Document", *, per_device: bool = False) -> "Group":
    """A summary, a table for each split, and the ablation if there is one."""
    from rich.console import Group

    tables = [split_table(name, counts) for name, counts in document["splits"].items()]
    if per_device:
        tables += [device_table(name, counts) for name, counts in document["splits"].items()]
    if "ablation" in document:
        names = next(iter(document["ablation"].values()))
        tables += [ablation_table(name, document["ablation"]) for name in names]
    return Group(summary_line(document["atlas"]), "", *tables)


def summary_line(atlas: Mapping[str, Any]) -> str:
    """The size of the atlas, and its noise floor."""
    return (
        f"{atlas['latencies']} latencies of {atlas['networks']} networks ({atlas['families']}"
        f" families) on {atlas['platforms']} platforms ({atlas['runtimes']} runtimes);"
        f" noise floor {figure_text('noise_floor', atlas['noise_floor'])} %."
        " All figures in per cent."
    )


def split_table(name: str, counts: dict[str, Mapping[str, Any]]) -> "Table":
    """A split: our method for each number of observations, baselines for the first and last."""
    result = _table(name, "seen", "method")
    ends = (next(iter(counts)), next(reversed(counts)))
    for count, methods in counts.items():
        for position, (method, figures) in enumerate(methods.items()):
            if position == 0 or count in ends:
                result.add_row(count, method, *_cells(figures["all"]))
    return result


def device_table(name: str, counts: Mapping[str, Mapping[str, Any]]) -> "Table":
    """A split by device, for our method with the fewest observations."""
    count, methods = next(iter(counts.items()))
    result = _table(f"{name}, {count} observed, by device", "device")
    for device, figures in next(iter(methods.values()))["devices"].items():
        result.add_row(device, *_cells(figures))
    return result


def ablation_table(split: str, rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> "Table":
    """The figures of a split without parts of the network."""
    result = _table(f"parts of the network, {split}", "seen", "parts")
    for parts, splits in rows.items():
        for count, figures in splits[split].items():
            result.add_row(count, parts, *_cells(figures))
    return result


def figure_text(name: str, value: float | None) -> str:
    """A figure as text; a dash if it is undefined."""
    if value is None or value != value:
        return "-"
    return f"{value:.0f}" if name == "width90" else f"{value:.1f}"


def _cells(figures: Mapping[str, float | None]) -> list[str]:
    return [figure_text(name, figures.get(name)) for name in HEADINGS]


def _table(title: str, *first: str) -> "Table":
    from rich.table import Table

    result = Table(title=title, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in first:
        result.add_column(heading, no_wrap=True)
    for heading in HEADINGS.values():
        result.add_column(heading, justify="right", no_wrap=True)
    return result
