"""`acesniper model`: read what a model asks for."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.padding import Padding
from rich.table import Table

from acesniper.cli.console import amount, out, print_json
from acesniper.cli.options import Batch, JsonOption, ModelFile, Shapes, parse_shapes
from acesniper.domain.model import ModelFeatures

TERMINATION_LOG = Path("/dev/termination-log")
MOST_OPERATORS = 12
"""Kinds of operators shown; the JSON has all."""

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """Read what a model asks for."""


@app.command()
def profile(
    model: ModelFile, batch: Batch = 1, shape: Shapes = [], json: JsonOption = False
) -> None:  # noqa: B006
    """Show a model's work: arithmetic, memory, operators and its nearest known networks.

    The file is opened by a separate process with little memory and time: a broken or hostile one
    does no harm. Weights are not needed.

    Example:
      acesniper model profile bert_tiny.onnx --shape sequence=128
    """
    from acesniper.predictor.onnx.sandbox import read_model
    from acesniper.predictor.similarity import distance_word

    features = read_model(model, batch=batch, shapes=parse_shapes(shape))
    word = distance_word(features.distance)
    if json:
        print_json({**asdict(features), "distance": features.distance, "familiarity": word})
    else:
        out.print(report(model.name, features, word))


@app.command(hidden=True)
def read(
    model: Annotated[str, typer.Argument(help="ONNX file, or its address.")],
    sha256: Annotated[str, typer.Option(help="Digest the file must have.")],
    batch: Batch = 1,
    shape: Shapes = [],  # noqa: B006
    secret: Annotated[
        Path | None, typer.Option(help="Folder with credentials, a key a file.")
    ] = None,
    report: Annotated[Path, typer.Option(help="File for the answer.")] = TERMINATION_LOG,
) -> None:
    """Read a model for the operator, in a pod that can get at it; the answer is packed."""
    from acesniper.api import messages
    from acesniper.domain.errors import InvalidModel, Unavailable
    from acesniper.predictor.onnx.sandbox import container_limits, read_model
    from acesniper.probe.model_file import verify
    from acesniper.probe.source import local_model
    from acesniper.runtime.artifacts import Credentials

    try:
        with local_model(model, sha256, credentials=Credentials.read(secret)) as found:
            if not found.path.is_file():
                # A volume may be filled later; the operator cannot know.
                raise Unavailable(f"there is no file {found.path}")
            if not found.verified:
                verify(found.path, sha256)
            features = read_model(
                found.path, batch=batch, shapes=parse_shapes(shape), limits=container_limits()
            )
        report.write_text(messages.pack_features(features))
    except (InvalidModel, Unavailable) as error:
        report.write_text(messages.pack_error(error))
        raise


def report(name: str, features: ModelFeatures, word: str) -> Group:
    """The features for people."""
    facts = Table.grid(padding=(0, 2))
    for label, text in _facts(features, word):
        facts.add_row(label, text)
    notes = (f"[yellow]note:[/yellow] {text}" for text in _notes(features))
    return Group(f"[bold]{name}[/bold]", Padding(facts, (0, 0, 1, 2)), _classes(features), *notes)


def _facts(features: ModelFeatures, word: str) -> Iterator[tuple[str, str]]:
    values, moved = features.values, features.bytes_moved
    intensity = features.flops / moved if moved else 0.0
    held, alive = amount(values["weights.bytes"], "B"), amount(values["activations.bytes"], "B")
    yield "Arithmetic", f"{amount(features.flops, 'FLOP')}, {intensity:.3g} per byte moved"
    yield (
        "Memory",
        (
            f"{amount(features.peak_memory_bytes, 'B')} at its peak:"
            f" weights {held}, activations {alive}; {amount(moved, 'B')} moved"
        ),
    )
    yield "Parameters", amount(features.parameters, "")
    shown = list(features.operators.items())
    rest = sum(count for _, count in shown[MOST_OPERATORS:])
    operators = ", ".join(f"{count} {op}" for op, count in shown[:MOST_OPERATORS])
    yield "Operators", operators + (f", {rest} of {len(shown) - MOST_OPERATORS} more" * bool(rest))
    near = ", ".join(f"{known} {score:.0%}" for known, score in features.similar.items())
    yield "Nearest", near or "nothing is like it"
    yield "Distance", f"{features.distance:.2f} ({word}); 0 is a known network, 1 like none"


def _classes(features: ModelFeatures) -> Table:
    values = features.values
    shown = Table("Operator class", show_footer=True)
    shown.columns[0].footer = "all"
    nodes = sum(values[f"{kind}.nodes"] for kind in _kinds(features))
    for column, total in (
        *(("Nodes", f"{nodes:g}"), ("FLOP", amount(features.flops, "")), ("share", "")),
        *(("Bytes", amount(features.bytes_moved, "B")), ("share", "")),
    ):
        shown.add_column(column, total, justify="right")
    for kind in _kinds(features):
        flops, moved = values[f"{kind}.flops"], values[f"{kind}.bytes"]
        shown.add_row(
            *(kind, f"{values[f'{kind}.nodes']:g}"),
            *((amount(flops, ""), _share(flops, features.flops)) if flops else ("-", "")),
            *(amount(moved, "B"), _share(moved, features.bytes_moved)),
        )
    return shown


def _kinds(features: ModelFeatures) -> list[str]:
    """The classes that occur."""
    names = [key.removesuffix(".flops") for key in features.values if key.endswith(".flops")]
    return [name for name in names if features.values[f"{name}.nodes"]]


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else ""


def _notes(features: ModelFeatures) -> Iterator[str]:
    """What the figures leave out."""
    values = features.values
    if values["unknown.nodes"]:
        unknown = [op for op in features.operators if op.startswith("custom:")]
        names = ", ".join(unknown) or "others"
        yield f"{values['unknown.nodes']:g} nodes of unknown operators count no arithmetic: {names}"
    if values["other.nodes"]:
        yield f"{values['other.nodes']:g} nodes of rare operators may take far longer than thought"
    if values["unshaped.nodes"]:
        yield f"{values['unshaped.nodes']:g} nodes have shapes that depend on the data"
    if values["unbounded_loop.nodes"]:
        yield (
            f"{values['unbounded_loop.nodes']:g} nodes run in loops of unknown length, counted once"
        )
