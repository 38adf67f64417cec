"""`acesniper evaluate`: judge the predictions on a table of measured latencies."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acesniper.cli.console import err, out
from acesniper.cli.figures import finite, improving, shown
from acesniper.cli.options import (
    Column,
    LatencyColumn,
    Shapes,
    as_written,
    flat,
    parse_shapes,
    text,
    writable_path,
)
from acesniper.cli.options import references as listed_references
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.predictor.tables.operators import ModelTraits

Names = Annotated[Path | None, typer.Option(metavar="LIST", help="A file with one name a line.")]


def command(
    table: Annotated[
        Path | None,
        typer.Option(help="CSV of latencies, packed by gzip or not; without it, the atlas."),
    ] = None,
    references: Annotated[
        str, typer.Option(metavar="REF.json[:KEY]", help="Models of the table, in order.")
    ] = "",
    atlas: Annotated[
        Path | None, typer.Option(help="Folder of another atlas than the shipped one.")
    ] = None,
    features: Annotated[
        list[Path],
        typer.Option(help="What describes the models: a file or folder; may be repeated."),
    ] = [],  # noqa: B006
    shape: Shapes = [],  # noqa: B006
    k: Annotated[int, typer.Option("-k", help="References run on a new device.", min=1)] = 10,
    held_out_devices: Names = None,
    held_out_models: Names = None,
    device_column: Column = ["device"],  # noqa: B006
    model_column: Column = ["model"],  # noqa: B006
    latency_column: LatencyColumn = "latency_ms",
    observations: Annotated[
        int,
        typer.Option(
            help="Show how figures improve with up to so many more readings of each new device; "
            "of a table at most half of what the references leave.",
            min=0,
        ),
    ] = 0,
    choose: Annotated[
        int, typer.Option(help="Show which models to run first on a new device.", min=0)
    ] = 0,
    each: Annotated[bool, typer.Option("--each", help="Show every device, not only all.")] = False,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="OUT", callback=writable_path, help="Write the figures as JSON."
        ),
    ] = None,
) -> None:
    """Judge the predictions on devices and models that are held out.

    Without --table on the atlas, each platform and runtime hidden in turn with a part of the
    families (takes minutes); with --table on anyone's measured latencies:
    P1: known models on new devices, P2: new models on known devices, P3: new models on new devices.
    Of a new device only the first k references are revealed. All figures are per cent. With
    --observations, latencies of more known models are revealed, those to run first.

    Examples:
      acesniper evaluate --observations 10
      acesniper evaluate --choose 5
      acesniper evaluate --table phones.csv.gz --references references.json:phones -k 10
      --features operators.csv.gz --held-out-devices new-phones.txt --held-out-models new-models.txt
    """
    if table is None:
        from acesniper.cli.atlas_evaluation import evaluate_atlas, worth_running_first

        if choose:
            out.print("Run first on a new device:", *worth_running_first(choose), sep="\n  ")
            return
        evaluate_atlas(atlas, observations, json_file, each=each)
        return
    if not references:
        raise InvalidInput("--table needs --references: the models that new devices have run")
    from acesniper.predictor.tables.evaluate import (
        evaluate_table,
        models_to_run_first,
        observation_curve,
    )
    from acesniper.predictor.tables.measurements import TableColumns, read_table, split_table

    columns = TableColumns(flat(device_column), flat(model_column), latency_column)
    latencies = read_table(table, columns)
    new_devices = _listed(held_out_devices, latencies.devices)
    new_models = _listed(held_out_models, latencies.models)
    named = as_written(listed_references(references)[:k], latencies.models)
    cut = split_table(latencies, named, new_devices, new_models)
    if len(cut.references) < k:
        err.print(f"only {len(cut.references)} of the first {k} references are known models")
    traits = _traits(features, parse_shapes(shape), table, latencies.models, columns.model)
    if traits is None and new_models:
        err.print("without --features new models cannot be predicted: P2 and P3 stay empty")
    with err.status("fitting and predicting"):
        judged = evaluate_table(cut, traits)
    document: dict[str, object] = {**judged}
    out.print(shown(judged, each=each))
    if observations:
        with err.status("observing"):
            document["observations"] = steps = observation_curve(cut, traits, observations)
        out.print(improving(steps))
    if choose:
        document["choose"] = first = [
            latencies.models[column]
            for column in models_to_run_first(cut, choose, references=False)
        ]
        out.print("Run first on a new device:", *first, sep="\n  ")
    if json_file is not None:
        json_file.write_text(json.dumps(finite(document), indent=2) + "\n", encoding="utf-8")


def _listed(path: Path | None, names: Collection[str]) -> set[str]:
    """The names in a file. Raises InvalidInput where none of them stands in the table."""
    if path is None:
        return set()
    wanted = {line.rstrip("\r\n") for line in text(path).splitlines() if line.strip()}
    found = wanted & set(names)
    if wanted and not found:
        example = next(iter(names))
        raise InvalidInput(f"no name in {path} is in the table, whose names are like {example!r}")
    if wanted - found:
        err.print(f"{len(wanted - found)} of {len(wanted)} names in {path} are not in the table")
    return found


def _traits(
    paths: Collection[Path],
    shapes: Mapping[str, int],
    table: Path,
    models: tuple[str, ...],
    columns: tuple[str, ...],
) -> "list[Traits] | None":
    from acesniper.predictor.tables.model_sources import aligned, read_features

    if not paths:
        return None
    found: dict[str, ModelTraits] = {}
    for path in paths:
        if path.resolve() == table.resolve():
            raise InvalidInput("--features must not be the table: its latencies would be features")
        for name, traits in read_features(path, columns, shapes, err.print).items():
            found[name] = found[name] | traits if name in found else traits
    return aligned(found, models)
