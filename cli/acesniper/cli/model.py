"""`acesniper model`: the work and memory of a model, from its ONNX graph."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acesniper.cli.options import Batch, JsonOption, ModelFile, Shapes, parse_shapes

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from acesniper.domain.model import ModelFeatures

TERMINATION_LOG = Path("/dev/termination-log")
MAX_OPERATORS = 12
"""Operators that are listed; the JSON output has all."""

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """Show the work and memory of a model."""


@app.command()
def profile(
    model: ModelFile,
    batch: Batch = 1,
    shape: Shapes = [],  # noqa: B006
    json: JsonOption = False,
) -> None:
    """Show a model's arithmetic, memory, operators, and the most similar known networks.

    The file is parsed in a child process with limited memory and time, so that a broken or
    malicious file does no harm. Weights are not needed.

    Example:
      acesniper model profile bert_tiny.onnx --shape sequence=128
    """
    from acesniper.cli.console import out, print_json
    from acesniper.predictor.onnx.sandbox import read_model
    from acesniper.predictor.similarity import distance_word

    features = read_model(model, batch=batch, shapes=parse_shapes(shape))
    familiarity = distance_word(features.distance)
    if json:
        record = {**asdict(features), "distance": features.distance, "familiarity": familiarity}
        print_json(record)
    else:
        out().print(model_report(model.name, features, familiarity))


@app.command(hidden=True)
def read(
    model: Annotated[str, typer.Argument(help="ONNX file or its address.")],
    sha256: Annotated[str, typer.Option(help="Expected digest of the file.")],
    batch: Batch = 1,
    shape: Shapes = [],  # noqa: B006
    secret: Annotated[
        Path | None, typer.Option(help="Folder with credentials, one file per key.")
    ] = None,
    report: Annotated[Path, typer.Option(help="File for the result.")] = TERMINATION_LOG,
) -> None:
    """Read a model on behalf of the operator, in a pod that has access to it."""
    from acesniper.api import messages
    from acesniper.domain.errors import InvalidModel, Unavailable
    from acesniper.predictor.onnx.sandbox import container_limits, read_model
    from acesniper.probe.model_file import verify
    from acesniper.probe.source import local_model
    from acesniper.runtime.artifacts import Credentials

    try:
        with local_model(model, sha256, credentials=Credentials.read(secret)) as local:
            if not local.path.is_file():
                # The volume may be filled later, which the operator cannot observe.
                raise Unavailable(f"file {local.path} does not exist")
            if not local.verified:
                verify(local.path, sha256)
            features = read_model(
                local.path, batch=batch, shapes=parse_shapes(shape), limits=container_limits()
            )
        report.write_text(messages.pack_features(features))
    except (InvalidModel, Unavailable) as error:
        report.write_text(messages.pack_error(error))
        raise


def model_report(name: str, features: "ModelFeatures", familiarity: str) -> "Group":
    """The features as text and a table."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 2))
    for label, text in _facts(features, familiarity):
        facts.add_row(label, text)
    notes = (Text.assemble(("note:", "yellow"), f" {text}") for text in _notes(features))
    padded = Padding(facts, (0, 0, 1, 2))
    return Group(Text(name, style="bold"), padded, _class_table(features), *notes)


def _facts(features: "ModelFeatures", familiarity: str) -> Iterator[tuple[str, str]]:
    from acesniper.cli.console import quantity_text

    values, moved = features.values, features.bytes_moved
    intensity = features.flops / moved if moved else 0.0
    yield "Arithmetic", f"{quantity_text(features.flops, 'FLOP')}, {intensity:.3g} per byte moved"
    peak = quantity_text(features.peak_memory_bytes, "B")
    weights = quantity_text(values["weights.bytes"], "B")
    activations = quantity_text(values["activations.bytes"], "B")
    parts = f"weights {weights}, activations {activations}"
    yield "Memory", f"{peak} at its peak: {parts}; {quantity_text(moved, 'B')} moved"
    yield "Parameters", quantity_text(features.parameters, "")
    operators = list(features.operators.items())
    listed = ", ".join(f"{count} {operator}" for operator, count in operators[:MAX_OPERATORS])
    rest = sum(count for _, count in operators[MAX_OPERATORS:])
    more = f", {rest} of {len(operators) - MAX_OPERATORS} others" if rest else ""
    yield "Operators", listed + more
    similar = ", ".join(f"{name} {score:.0%}" for name, score in features.similar.items())
    yield "Similar", similar or "none"
    scale = "0 is a known network, 1 is unlike all of them"
    yield "Distance", f"{features.distance:.2f} ({familiarity}); {scale}"


def _class_table(features: "ModelFeatures") -> "Table":
    """The work of each class of operators, and its share of the total."""
    from rich.table import Table

    from acesniper.cli.console import quantity_text

    values, classes = features.values, _classes(features)
    nodes = sum(values[f"{name}.nodes"] for name in classes)
    columns = (
        ("Nodes", f"{nodes:g}"),
        ("FLOP", quantity_text(features.flops, "")),
        ("share", ""),
        ("Bytes", quantity_text(features.bytes_moved, "B")),
        ("share", ""),
    )
    table = Table("Operator class", show_footer=True)
    table.columns[0].footer = "all"
    for heading, total in columns:
        table.add_column(heading, total, justify="right")
    for name in classes:
        flops, moved = values[f"{name}.flops"], values[f"{name}.bytes"]
        table.add_row(
            name,
            f"{values[f'{name}.nodes']:g}",
            quantity_text(flops, "") if flops else "-",
            _share(flops, features.flops) if flops else "",
            quantity_text(moved, "B"),
            _share(moved, features.bytes_moved),
        )
    return table


def _classes(features: "ModelFeatures") -> list[str]:
    """The classes of operators that occur in the model."""
    names = [key.removesuffix(".flops") for key in features.values if key.endswith(".flops")]
    return [name for name in names if features.values[f"{name}.nodes"]]


def _share(part: float, total: float) -> str:
    return f"{part / total:.0%}" if total else ""


def _notes(features: "ModelFeatures") -> Iterator[str]:
    """What the figures do not include."""
    values = features.values
    if values["unknown.nodes"]:
        custom = [name for name in features.operators if name.startswith("custom:")]
        names = ", ".join(custom) or "others"
        yield f"the arithmetic of {values['unknown.nodes']:g} nodes is unknown: {names}"
    if values["other.nodes"]:
        yield f"{values['other.nodes']:g} nodes have rare operators and may take much longer"
    if values["unshaped.nodes"]:
        yield f"{values['unshaped.nodes']:g} nodes have data-dependent shapes"
    if values["unbounded_loop.nodes"]:
        yield (
            f"{values['unbounded_loop.nodes']:g} nodes are in loops of unknown length, counted once"
        )
