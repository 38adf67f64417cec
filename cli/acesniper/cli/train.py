"""`acesniper train`: fit the network that predicts latencies."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from acesniper.cli.console import err
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.predictor.pcn.dataset import Dataset
    from acesniper.predictor.pcn.network import Network
    from acesniper.predictor.pcn.training import Settings


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
    atlas: Annotated[
        Path | None,
        typer.Option(help="Folder with latencies.parquet and platforms.json; default: shipped."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same network.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps of training.", min=2)] = 250,
    calibrate: Annotated[
        bool,
        typer.Option(
            help="Find the widths of intervals by hiding devices; takes most of the time."
        ),
    ] = True,
) -> None:
    """Fit the network to an atlas of measured latencies and write it as ONNX.

    Each step hides some families and devices and asks for them, so that the network is right about
    what it has not seen. Needs torch, which the extra `train` installs.

    Example:
      acesniper train --output pcn.onnx
    """
    try:
        from acesniper.predictor.pcn.training import Settings
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"training needs the package {error.name!r}: pip install acesniper[train]"
        ) from error
    from acesniper.predictor.pcn.calibrating import calibrated
    from acesniper.predictor.pcn.calibration import Calibration
    from acesniper.predictor.pcn.export import export
    from acesniper.predictor.pcn.learned_from import atlas_dataset
    from acesniper.predictor.workloads import known_suite

    data = atlas_dataset(atlas)
    settings = Settings(steps=steps, seed=seed)
    network = _fitted(data, settings)
    with err.status("calibrating") as status:
        widths = calibrated(data, settings, status.update) if calibrate else Calibration()
    provenance = {"seed": seed, "steps": steps, "date": datetime.now(UTC).date().isoformat()}
    export(network, data, output, known_suite(), widths, provenance)
    err.print(
        f"{output}: learned from {(~data.reference).sum()} networks on"
        f" {len(data.platforms)} platforms; ONNX and torch agree"
    )


def _fitted(data: "Dataset", settings: "Settings") -> "Network":
    """Train with a bar that says how far it is and how well it does."""
    from acesniper.predictor.pcn.training import fit

    columns = (TextColumn("training"), BarColumn(), TextColumn("loss {task.fields[loss]:.2f}"))
    with Progress(*columns, TimeRemainingColumn(), console=err) as bar:
        task = bar.add_task("training", total=settings.steps, loss=float("nan"))
        return fit(data, settings, lambda step, loss: bar.update(task, advance=1, loss=loss))
