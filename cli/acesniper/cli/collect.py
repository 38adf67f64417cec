"""`acesniper collect`: measure models on this device."""

import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acesniper.cli.options import (
    CpuQuota,
    Optimise,
    Precision,
    RuntimeName,
    Shapes,
    Threads,
    parse_shapes,
    thread_count,
    writable_path,
)
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.probe.collect import ModelCase

ISA = "ONEDNN_MAX_CPU_ISA"
"""Environment variable that limits oneDNN's instruction sets; it is part of the platform."""


def command(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="ONNX files, or folders of them; an index.json may set shapes."),
    ] = None,
    atlas: Annotated[
        bool,
        typer.Option("--atlas", help="The networks of the shipped atlas, with random weights."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            callback=writable_path,
            help=".csv or .parquet; default: CSV to standard output.",
        ),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Folder of expected outputs; the first run creates them.")
    ] = None,
    passes: Annotated[int, typer.Option(help="Number of measurements of each model.", min=1)] = 2,
    device: Annotated[str, typer.Option(help="Name of this device; default: the host name.")] = "",
    batch: Annotated[list[int], typer.Option(help="Batch sizes; may be repeated.", min=1)] = [1],  # noqa: B006
    shape: Shapes = [],  # noqa: B006
    runtime: RuntimeName = "onnxruntime",
    threads: Threads = 0,
    optimise: Optimise = True,
    precision: Precision = "f32",
    quick: Annotated[bool, typer.Option("--quick", help="One short, less accurate pass.")] = False,
    cpu_quota: CpuQuota = None,
) -> None:
    """Measure models on this device into a table (device,runtime,model,batch,latency_ms,...).

    Each model runs in a child process, twice at different times. Its outputs must be finite and,
    with --reference, must agree with the outputs in that folder.

    Examples:
      acesniper collect examples/models --device edge-1 --output edge-1.csv
      acesniper collect --atlas --device edge-1 --output edge-1.parquet
    """
    from acesniper.cli.console import err
    from acesniper.probe.collect import Target, collect, write_rows
    from acesniper.probe.isolation import Isolated, LatencyJob
    from acesniper.probe.latency import QUICK_LATENCY, LatencyEffort
    from acesniper.probe.platform_facts import facts
    from acesniper.probe.runtimes import RuntimeOptions
    from acesniper.probe.runtimes import runtime as load_runtime

    count = thread_count(threads)
    quota = cpu_quota or facts().cpu_quota
    options = RuntimeOptions(count, optimise, precision)
    target = Target(
        device or platform.node(),
        runtime,
        load_runtime(runtime).version,
        options,
        quota,
        os.environ.get(ISA),
    )
    throttled = quota is not None and quota < count
    job = LatencyJob(
        runtime, options, QUICK_LATENCY if quick else LatencyEffort(), throttled, reference
    )
    with (
        _model_paths(models or [], atlas) as paths,
        err().status("measuring") as status,
        Isolated(job) as isolated,
    ):
        rows = list(
            collect(
                _measurements(paths, batch, parse_shapes(shape)),
                target,
                isolated.measure,
                passes=1 if quick else passes,
                progress=lambda text: _report(status.update, text),
            )
        )
    if not rows:
        raise InvalidInput("no model could be measured")
    write_rows(rows, output)


def _report(update_status: Callable[[str], None], text: str) -> None:
    """Print failures, which have the form `MODEL: REASON`; show the names of others as status."""
    from acesniper.cli.console import err

    if ": " in text:
        err().print(text, highlight=False)
    else:
        update_status(text)


@contextmanager
def _model_paths(models: Sequence[Path], atlas: bool) -> Iterator[Sequence[Path]]:
    """The given paths, and a temporary folder with the networks of the atlas if requested."""
    from acesniper.predictor.atlas.networks import unpack

    if not atlas:
        yield models
        return
    with tempfile.TemporaryDirectory() as folder:
        yield [*models, unpack(Path(folder))]


def _measurements(
    paths: Sequence[Path], batches: Sequence[int], shapes: dict[str, int]
) -> list["ModelCase"]:
    """Each model with each batch size."""
    from acesniper.probe.collect import ModelCase

    files = [entry for path in paths for entry in _files(path)]
    measurements = [
        ModelCase(file, batch, {**file_shapes, **shapes})
        for file, file_shapes in files
        for batch in batches
    ]
    if not measurements:
        raise InvalidInput("no models given: pass ONNX files, folders with such files, or --atlas")
    if missing := [str(item.path) for item in measurements if not item.path.is_file()]:
        raise InvalidInput(f"model files do not exist: {', '.join(missing)}")
    return measurements


def _files(path: Path) -> list[tuple[Path, dict[str, int]]]:
    """A file, or the files of a folder, with the shapes that its index.json sets."""
    index = path / "index.json"
    if index.is_file():
        entries = json.loads(index.read_text()).values()
        return [(path / entry["file"], entry["shapes"]) for entry in entries]
    if path.is_dir():
        return [(file, {}) for file in sorted(path.glob("*.onnx"))]
    return [(path, {})]
