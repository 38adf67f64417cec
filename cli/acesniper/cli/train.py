"""`acesniper train`: train the network that predicts latencies."""

import json as json_module
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acesniper.api.objects import Json
from acesniper.cli.options import writable_path
from acesniper.cli.retraining import (
    list_profiles,
    provenance,
    read_profiles,
    retrain_network,
    training_settings,
)

if TYPE_CHECKING:
    from acesniper.predictor.pcn.dataset import AtlasDataset
    from acesniper.predictor.pcn.model import Network
    from acesniper.predictor.pcn.train import TrainingSettings

EXIT_NOT_BETTER = 3
"""Exit code if the retrained network is not better than the baseline."""


class Source(StrEnum):
    """Latencies to train on."""

    ATLAS = "atlas"
    OBSERVATIONS = "observations"


def command(
    output: Annotated[
        Path, typer.Option("--output", "-o", callback=writable_path, help="ONNX file to write.")
    ],
    source: Annotated[
        Source,
        typer.Option(
            "--from", help="The atlas alone, or with the observed latencies of a cluster's devices."
        ),
    ] = Source.ATLAS,
    profiles: Annotated[
        Path | None,
        typer.Option(
            help="With observations: output of `kubectl get dprof,mprof -A -o json`; default: read"
            " from the cluster."
        ),
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(envvar="KUBECONFIG", help="Kubeconfig of that cluster.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="With observations: the network to improve on; default: the shipped one."
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(callback=writable_path, help="With observations: write the verdict as JSON."),
    ] = None,
    atlas: Annotated[
        Path | None,
        typer.Option(help="Folder with latencies.parquet and platforms.json; default: shipped."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same network.")] = 0,
    steps: Annotated[int, typer.Option(help="Number of training steps.", min=2)] = 250,
    calibrate: Annotated[
        bool,
        typer.Option(
            help="Calibrate the widths of the intervals on held-out devices; takes most of the"
            " time. With observations the baseline's widths are kept."
        ),
    ] = True,
) -> None:
    """Train the network on an atlas of measured latencies and export it as ONNX.

    Each training step holds out some model families and devices and predicts them, so that the
    network generalises. Needs torch: pip install acesniper[train].

    With observations, the most recent ones are the test set: the file is written only if the new
    network is better on them than the baseline; otherwise the exit code is 3.

    Examples:
      acesniper train --output pcn.onnx
      acesniper train --from observations --json verdict.json --output pcn.onnx
    """
    settings = training_settings(steps, seed)
    if source is Source.ATLAS:
        _train(output, atlas, settings, calibrate=calibrate)
        return

    from acesniper.cli.console import print_json

    objects = read_profiles(profiles) if profiles else _fetch_profiles(kubeconfig)
    verdict = retrain_network(objects, baseline, output, settings, atlas)
    if json is not None:
        json.write_text(json_module.dumps(verdict, indent=2) + "\n")
    print_json(verdict)
    if verdict["verdict"] != "better":
        raise typer.Exit(EXIT_NOT_BETTER)


def _fetch_profiles(kubeconfig: Path | None) -> list[Json]:
    import asyncio

    from acesniper.runtime.client import Cluster

    async def fetch() -> list[Json]:
        async with Cluster.connect(kubeconfig) as cluster:
            return await list_profiles(cluster)

    return asyncio.run(fetch())


def _train(
    output: Path,
    atlas: Path | None,
    settings: "TrainingSettings",
    *,
    calibrate: bool,
) -> None:
    from acesniper.cli.console import err
    from acesniper.predictor.pcn.conformal import Calibration
    from acesniper.predictor.pcn.dataset import atlas_dataset
    from acesniper.predictor.pcn.evaluation.calibrate import calibrate_intervals
    from acesniper.predictor.pcn.export import export
    from acesniper.predictor.probe_matrix import known_suite

    data = atlas_dataset(atlas)
    network = _fit(data, settings)
    with err().status("calibrating") as status:
        calibration = (
            calibrate_intervals(data, settings, status.update) if calibrate else Calibration()
        )
    export(network, data, output, known_suite(), calibration, provenance(settings))
    err().print(
        f"{output}: trained on {(~data.reference).sum()} networks and"
        f" {len(data.platforms)} platforms; ONNX and torch agree"
    )


def _fit(data: "AtlasDataset", settings: "TrainingSettings") -> "Network":
    """Train with a progress bar that shows the loss."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from acesniper.cli.console import err
    from acesniper.predictor.pcn.train import fit

    columns = (TextColumn("training"), BarColumn(), TextColumn("loss {task.fields[loss]:.2f}"))
    with Progress(*columns, TimeRemainingColumn(), console=err()) as progress:
        bar = progress.add_task("training", total=settings.steps, loss=float("nan"))
        return fit(data, settings, lambda _, loss: progress.update(bar, advance=1, loss=loss))
