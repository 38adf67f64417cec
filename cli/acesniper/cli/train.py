"""`acesniper train`: fit the network that predicts latencies."""

import asyncio
import json as json_module
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from acesniper.cli.console import err, print_json
from acesniper.cli.options import writable_path
from acesniper.cli.retraining import list_objects, provenance_of, read_objects, retrained
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.predictor.pcn.model import Network

UNCHANGED = 3
"""The exit code of a retraining after which the old network stays."""


class Source(StrEnum):
    """What to learn from."""

    ATLAS = "atlas"
    OBSERVATIONS = "observations"


def command(
    output: Annotated[
        Path, typer.Option("--output", "-o", callback=writable_path, help="The ONNX file to write.")
    ],
    source: Annotated[
        Source,
        typer.Option(
            "--from", help="The atlas alone, or with it what the devices of a cluster ran."
        ),
    ] = Source.ATLAS,
    profiles: Annotated[
        Path | None,
        typer.Option(
            help="With observations: their source, as `kubectl get dprof,mprof -A -o json` "
            "prints it; default: the cluster."
        ),
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(envvar="KUBECONFIG", help="The cluster to learn from.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="With observations: the network to be better than; default: shipped."),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(callback=writable_path, help="With observations: write the verdict there."),
    ] = None,
    atlas: Annotated[
        Path | None,
        typer.Option(help="Folder with latencies.parquet and platforms.json; default: shipped."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same network.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps of training.", min=2)] = 250,
    calibrate: Annotated[
        bool,
        typer.Option(
            help="Find the widths of intervals by hiding devices; takes most of the time. "
            "From observations they stay those of the baseline."
        ),
    ] = True,
) -> None:
    """Fit the network to an atlas of measured latencies and write it as ONNX.

    Each step hides some families and devices and asks for them, so that the network is right about
    what it has not seen. Needs torch, which the extra `train` installs.

    From observations, the most recent ones are held out and judge: the file is written only if the
    new network is better on them, else the exit code is 3.

    Example:
      acesniper train --output pcn.onnx
      acesniper train --from observations --json verdict.json --output pcn.onnx
    """
    try:
        from acesniper.predictor.pcn.train import TrainingSettings
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"training needs the package {error.name!r}: pip install acesniper[train]"
        ) from error

    settings = TrainingSettings(steps=steps, seed=seed)
    if source is Source.OBSERVATIONS:
        objects = read_objects(profiles) if profiles else asyncio.run(list_objects(kubeconfig))
        found = retrained(objects, baseline, output, settings, atlas)
        if json is not None:
            json.write_text(json_module.dumps(found, indent=2) + "\n")
        print_json(found)
        if found["verdict"] != "better":
            raise typer.Exit(UNCHANGED)
        return
    _trained(output, atlas, settings, calibrate=calibrate)


def _trained(
    output: Path,
    atlas: Path | None,
    settings: "Settings",
    *,
    calibrate: bool,
) -> None:
    from acesniper.predictor.pcn.conformal import Calibration
    from acesniper.predictor.pcn.dataset import atlas_dataset
    from acesniper.predictor.pcn.evaluation.calibrate import calibrate_intervals
    from acesniper.predictor.pcn.export import export
    from acesniper.predictor.probe_matrix import known_suite

    data = atlas_dataset(atlas)
    network = _fitted(data, settings)
    with err.status("calibrating") as status:
        widths = calibrate_intervals(data, settings, status.update) if calibrate else Calibration()
    export(network, data, output, known_suite(), widths, provenance_of(settings))
    err.print(
        f"{output}: learned from {(~data.reference).sum()} networks on"
        f" {len(data.platforms)} platforms; ONNX and torch agree"
    )


def _fitted(data: "Dataset", settings: "Settings") -> "Network":
    """Train with a bar that says how far it is and how well it does."""
    from acesniper.predictor.pcn.train import fit

    columns = (TextColumn("training"), BarColumn(), TextColumn("loss {task.fields[loss]:.2f}"))
    with Progress(*columns, TimeRemainingColumn(), console=err) as bar:
        task = bar.add_task("training", total=settings.steps, loss=float("nan"))
        return fit(data, settings, lambda step, loss: bar.update(task, advance=1, loss=loss))
