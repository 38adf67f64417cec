"""`acesniper evaluate`: errors of the predictions on held-out devices and models."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acesniper.cli.options import (
    Column,
    LatencyColumn,
    Shapes,
    match_names,
    parse_columns,
    parse_shapes,
    read_references,
    read_text,
    writable_path,
)
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from rich.table import Table

    from acesniper.predictor.tables.operators import ModelTraits

HEADINGS = {
    "cells": "cells",
    "mean": "mean",
    "median": "med.",
    "within10": "<10%",
    "within20": "<20%",
    "spearman": "spear.",
    "kendall": "kend.",
    "regret": "regret",
    "coverage90": "cover",
    "width90": "width",
}
"""Figures that are printed, with their column headings; the JSON output has all figures."""
LEARNED_TASKS = ("P1", "P3")
"""The prediction tasks that further observations of a device improve."""

Figures = Mapping[str, float]

app = typer.Typer(no_args_is_help=True)
NameList = Annotated[Path | None, typer.Option(metavar="LIST", help="File with one name per line.")]
Choose = Annotated[
    int, typer.Option(help="Print this many models to run first on a new device.", min=0)
]
PerDevice = Annotated[bool, typer.Option("--each", help="Show the figures of each device.")]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="OUT", callback=writable_path, help="Write all figures to this file."
    ),
]


@app.callback()
def group() -> None:
    """Evaluate predictions on held-out latencies."""


@app.command()
def atlas(
    folder: Annotated[
        Path | None, typer.Option("--atlas", help="Folder of an atlas; default: the shipped one.")
    ] = None,
    observations: Annotated[
        int, typer.Option(help="Show the figures after up to this many observations.", min=0)
    ] = 0,
    choose: Choose = 0,
    per_device: PerDevice = False,
    json_file: JsonFile = None,
) -> None:
    """Evaluate the method on the atlas; takes minutes and needs torch.

    Each platform and runtime is held out in turn, together with a part of the model families. All
    figures are in per cent.

    Examples:
      acesniper evaluate atlas --observations 10
      acesniper evaluate atlas --choose 5
    """
    from acesniper.cli.atlas_evaluation import evaluate_atlas, first_networks
    from acesniper.cli.console import out

    if choose:
        out().print("Run first on a new device:", *first_networks(choose), sep="\n  ")
        return
    evaluate_atlas(folder, observations, json_file, per_device=per_device)


@app.command()
def table(
    latencies: Annotated[
        Path, typer.Argument(metavar="TABLE.csv[.gz]", help="Table of measured latencies.")
    ],
    references: Annotated[
        str,
        typer.Option(
            metavar="REF.json[:KEY]", help="Models that were run on new devices, in order."
        ),
    ],
    features: Annotated[
        list[Path],
        typer.Option(help="File or folder that describes the models; may be repeated."),
    ] = [],  # noqa: B006
    shape: Shapes = [],  # noqa: B006
    k: Annotated[int, typer.Option("-k", help="Number of references to use.", min=1)] = 10,
    held_out_devices: NameList = None,
    held_out_models: NameList = None,
    device_column: Column = ["device"],  # noqa: B006
    model_column: Column = ["model"],  # noqa: B006
    latency_column: LatencyColumn = "latency_ms",
    observations: Annotated[
        int,
        typer.Option(
            help="Show the figures after up to this many more observations of each new device, at"
            " most half of the models that are not references.",
            min=0,
        ),
    ] = 0,
    choose: Choose = 0,
    per_device: PerDevice = False,
    json_file: JsonFile = None,
) -> None:
    """Evaluate a method for tables of latencies on devices and models that are held out.

    P1: known models on new devices; P2: new models on known devices; P3: new models on new devices.
    Of a new device only the first k references are revealed, and with --observations those known
    models that should be run first. All figures are in per cent.

    Example:
      acesniper evaluate table phones.csv.gz --references references.json:phones -k 10
    """
    from acesniper.cli.console import err, out
    from acesniper.predictor.tables.evaluate import (
        evaluate_table,
        models_to_run_first,
        observation_curve,
    )
    from acesniper.predictor.tables.measurements import TableColumns, read_table, split_table

    columns = TableColumns(
        parse_columns(device_column), parse_columns(model_column), latency_column
    )
    measured = read_table(latencies, columns)
    cut = split_table(
        measured,
        match_names(read_references(references)[:k], measured.models),
        _read_names(held_out_devices, measured.devices),
        new_models := _read_names(held_out_models, measured.models),
    )
    if len(cut.references) < k:
        err().print(f"only {len(cut.references)} of the first {k} references are known models")
    traits = _read_traits(features, parse_shapes(shape), latencies, measured.models, columns.model)
    if traits is None and new_models:
        err().print("P2 and P3 are empty: predictions of new models need --features")
    with err().status("fitting and predicting"):
        figures = evaluate_table(cut, traits)
    document: dict[str, Any] = {**figures}
    out().print(figure_table(figures, per_device=per_device))
    if observations:
        with err().status("simulating observations"):
            document["observations"] = observation_curve(cut, traits, observations)
        out().print(observation_table(document["observations"]))
    if choose:
        chosen = models_to_run_first(cut, choose, references=False)
        document["choose"] = [measured.models[column] for column in chosen]
        out().print("Run first on a new device:", *document["choose"], sep="\n  ")
    if json_file is not None:
        text = json.dumps(replace_nan(document), indent=2)
        json_file.write_text(f"{text}\n", encoding="utf-8")


def figure_table(document: Mapping[str, Mapping[str, object]], *, per_device: bool) -> "Table":
    """The figures of each prediction task, and optionally of each device."""
    rows = [(f"{task} all", document[task]) for task in document if task != "devices"]
    if per_device:
        for device, tasks in document["devices"].items():
            if isinstance(tasks, Mapping):
                rows += [(f"{task} {device}", figures) for task, figures in tasks.items()]
    return _table("All figures in per cent", rows)


def observation_table(steps: Sequence[Mapping[str, int | Figures]]) -> "Table":
    """The figures after each number of observations."""
    rows = [
        (f"{task} +{step['observations']}", figures)
        for task in LEARNED_TASKS
        for step in steps
        if isinstance(figures := step[task], Mapping) and figures["cells"]
    ]
    return _table("After observations of other models on each new device", rows)


def replace_nan(value: object) -> object:
    """The same document with null in place of NaN, which JSON cannot represent."""
    if isinstance(value, Mapping):
        return {key: replace_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_nan(item) for item in value]
    return None if value != value else value


def _table(title: str, rows: Sequence[tuple[str, Mapping[str, object]]]) -> "Table":
    from rich.table import Table

    result = Table("", title=title, box=None, pad_edge=False)
    for heading in HEADINGS.values():
        result.add_column(heading, justify="right", no_wrap=True)
    for name, figures in rows:
        result.add_row(name, *(_figure_text(key, figures.get(key)) for key in HEADINGS))
    return result


def _figure_text(name: str, value: object) -> str:
    if not isinstance(value, float) or value != value:
        return "-"
    return f"{value:.0f}" if name == "cells" else f"{value:.1f}"


def _read_names(path: Path | None, known: Collection[str]) -> set[str]:
    """The names in a file that are in the table.

    Raises:
        InvalidInput: none of them is.
    """
    from acesniper.cli.console import err

    if path is None:
        return set()
    names = {line.rstrip("\r\n") for line in read_text(path).splitlines() if line.strip()}
    matching = names & set(known)
    if names and not matching:
        example = next(iter(known))
        raise InvalidInput(f"{path}: none of the names is in the table, which has {example!r}")
    if missing := len(names - matching):
        err().print(f"{missing} of {len(names)} names in {path} are not in the table")
    return matching


def _read_traits(
    paths: Collection[Path],
    shapes: Mapping[str, int],
    table: Path,
    models: tuple[str, ...],
    columns: tuple[str, ...],
) -> "list[ModelTraits] | None":
    """The features of the models, combined from all files; None without files."""
    from acesniper.cli.console import err
    from acesniper.predictor.tables.model_sources import aligned, read_features

    if not paths:
        return None
    combined: dict[str, ModelTraits] = {}
    for path in paths:
        if path.resolve() == table.resolve():
            raise InvalidInput(f"--features {path}: the table of latencies cannot be a feature")
        for name, traits in read_features(path, columns, shapes, err().print).items():
            combined[name] = combined[name] | traits if name in combined else traits
    return aligned(combined, models)
