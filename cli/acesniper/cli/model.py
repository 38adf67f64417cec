"""`acesniper model`: read what a model asks for."""

from dataclasses import asdict

import typer
from rich.table import Table

from acesniper.cli.console import amount, out, print_json
from acesniper.cli.options import AsJson, Batch, ModelFile, Shapes, parse_shapes
from acesniper.domain.model import ModelFeatures

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """Read what a model asks for."""


@app.command()
def profile(model: ModelFile, batch: Batch = 1, shape: Shapes = [], json: AsJson = False) -> None:  # noqa: B006
    """Show a model's work: arithmetic, memory, operators and its nearest known networks.

    The file is opened by a separate process with little memory and time: a broken or hostile one
    does no harm. Weights are not needed.

    Example:
      acesniper model profile bert_tiny.onnx --shape sequence=128
    """
    from acesniper.predictor.reader import read_model

    features = read_model(model, batch=batch, shapes=parse_shapes(shape))
    if json:
        print_json(asdict(features))
    else:
        out.print(table(model.name, features))


def table(name: str, features: ModelFeatures) -> Table:
    """The features for people."""
    near = ", ".join(f"{known} {score:.0%}" for known, score in features.similar.items())
    shown = Table(
        title=f"{name}: {amount(features.flops, 'FLOP')},"
        f" {amount(features.parameters, '')}parameters,"
        f" {amount(features.peak_memory_bytes, 'B')} peak memory",
        caption=f"Nearest known networks: {near or 'none'}",
    )
    shown.add_column("Operator class")
    for column in ("Nodes", "FLOP", "Bytes"):
        shown.add_column(column, justify="right")
    classes = [key.removesuffix(".nodes") for key in features.values if key.endswith(".nodes")]
    for kind in classes:
        nodes = features.values[f"{kind}.nodes"]
        if nodes and f"{kind}.flops" in features.values:
            flops, moved = features.values[f"{kind}.flops"], features.values[f"{kind}.bytes"]
            shown.add_row(
                kind, f"{nodes:g}", amount(flops, "") if flops else "-", amount(moved, "B")
            )
    return shown
