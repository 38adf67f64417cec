"""`acesniper evaluate` without a table: judge the method on the atlas itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table

from acesniper.cli.console import err, out
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.predictor.pcn.evaluation.report import Document, Trial

SHOWN = {
    **{"mean": "mean", "median": "med.", "within10": "<10%", "within20": "<20%"},
    **{"spearman": "spear.", "regret": "regret", "coverage90": "cover", "width90": "width"},
    **{"worst_device_mean": "worst", "worst_device_coverage90": "(cover)"},
}
"""What is printed of the figures, and under which heading; the last two are those of the worst
device. The JSON file has the rest."""


STEPS = 250
"""Steps of training, as `acesniper train` takes."""


def evaluate_atlas(
    folder: Path | None,
    observations: int = 20,
    json_file: Path | None = None,
    *,
    steps: int = STEPS,
    each: bool = False,
    with_ablation: bool = False,
) -> None:
    """Hide families with devices and runtimes in turn; print the figures and write them."""
    _, document = judged_atlas(folder, observations, steps=steps, with_ablation=with_ablation)
    if json_file is not None:
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    out.print(shown(document, each=each))


def judged_atlas(
    folder: Path | None,
    observations: int,
    *,
    steps: int = STEPS,
    with_ablation: bool = False,
) -> "tuple[Trial, Document]":
    """The trial on an atlas and its document. Raises InvalidInput where torch is missing."""
    try:
        from acesniper.predictor.pcn.evaluation.report import ablation, finite, report, run_trial
        from acesniper.predictor.pcn.train import TrainingSettings
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"judging on the atlas needs the package {error.name!r}: pip install acesniper[train]"
        ) from error
    from acesniper.predictor.pcn.dataset import atlas_dataset

    data = atlas_dataset(folder)
    with err.status("training") as status:
        done = run_trial(data, TrainingSettings(steps=steps), observations, status.update)
        document = report(done)
        if with_ablation:
            document["ablation"] = ablation(done, status.update)
    return done, finite(document)


def worth_running_first(count: int) -> list[str]:
    """Which networks of the atlas to run first on a freshly probed device to learn most of it.

    The answer depends on which of the suite's references ran, not on how fast: it is given for a
    device that ran them all.
    """
    from acesniper.predictor.atlas.latencies import read_platforms
    from acesniper.predictor.pcn.serve import PcnPredictor
    from acesniper.predictor.similarity import known_networks

    known = known_networks()
    probed = max(
        (each.vector for each in read_platforms()), key=lambda vector: len(vector.readings)
    )
    chosen = PcnPredictor.load().next_to_observe(list(known.values()), probed, count)
    return [list(known)[at] for at in chosen]


def shown(document: "Document", *, each: bool = False) -> Group:
    """The figures for people: a line, a table for each split, and the ablation if there is one."""
    tables = [split_table(name, each_count) for name, each_count in document["splits"].items()]
    if each:
        tables += [device_table(name, counts) for name, counts in document["splits"].items()]
    if "ablation" in document:
        names = next(iter(document["ablation"].values()))
        tables += [ablation_table(name, document["ablation"]) for name in names]
    return Group(summary_line(document["atlas"]), "", *tables)


def summary_line(atlas: Mapping[str, Any]) -> str:
    """What the figures were found on."""
    return (
        f"{atlas['latencies']} latencies of {atlas['networks']} networks ({atlas['families']}"
        f" families) on {atlas['platforms']} platforms ({atlas['runtimes']} runtimes);"
        f" noise floor {figure('noise_floor', atlas['noise_floor'])} %. All figures in per cent."
    )


def split_table(name: str, counts: dict[str, Mapping[str, Any]]) -> Table:
    """A split: our rows for each number of observations, the simple methods' for first and last."""
    result = _table(name, "seen", "method")
    ends = (next(iter(counts)), next(reversed(counts)))
    for count, methods in counts.items():
        for place, (method, found) in enumerate(methods.items()):
            if place == 0 or count in ends:
                result.add_row(count, method, *_figures(found["all"]))
    return result


def device_table(name: str, counts: Mapping[str, Mapping[str, Any]]) -> Table:
    """A split by device, for our method and the fewest observations."""
    count, methods = next(iter(counts.items()))
    result = _table(f"{name}, {count} observed, by device", "device")
    for device, found in next(iter(methods.values()))["devices"].items():
        result.add_row(device, *_figures(found))
    return result


def ablation_table(split: str, rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """What the parts are worth."""
    result = _table(f"parts of the network, {split}", "seen", "parts")
    for parts, splits in rows.items():
        for count, found in splits[split].items():
            result.add_row(count, parts, *_figures(found))
    return result


def figure(name: str, value: float | None) -> str:
    """A figure as text; a dash where there is none."""
    if value is None or value != value:
        return "-"
    return f"{value:.0f}" if name == "width90" else f"{value:.1f}"


def _figures(found: Mapping[str, float | None]) -> list[str]:
    return [figure(name, found.get(name)) for name in SHOWN]


def _table(title: str, *first: str) -> Table:
    result = Table(title=title, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in first:
        result.add_column(heading, no_wrap=True)
    for heading in SHOWN.values():
        result.add_column(heading, justify="right", no_wrap=True)
    return result
