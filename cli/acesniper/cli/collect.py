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

from acesniper.cli.console import err
from acesniper.cli.options import (
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
"""The variable by which oneDNN's instruction sets are limited; it belongs to the platform."""


def command(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="ONNX files, or folders of them; an index.json there tells shapes."),
    ] = None,
    atlas: Annotated[
        bool, typer.Option("--atlas", help="The networks of the shipped atlas, weights drawn.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            *("--output", "-o"),
            callback=writable_path,
            help=".csv or .parquet; default: CSV to standard output.",
        ),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Folder of outputs to compare with, made by the first run.")
    ] = None,
    passes: Annotated[int, typer.Option(help="How often each model is measured.", min=1)] = 2,
    device: Annotated[str, typer.Option(help="Name of this device; default: this host.")] = "",
    batch: Annotated[list[int], typer.Option(help="Batch sizes; may be repeated.", min=1)] = [1],  # noqa: B006
    shape: Shapes = [],  # noqa: B006
    runtime: RuntimeName = "onnxruntime",
    threads: Threads = 0,
    optimise: Optimise = True,
    precision: Precision = "f32",
    quick: Annotated[bool, typer.Option("--quick", help="One short pass, less exact.")] = False,
    cpu_quota: Annotated[
        float | None,
        typer.Option(help="Cores this process is limited to, where no cgroup says so.", min=0.01),
    ] = None,
) -> None:
    """Measure models on this device into a table (device,runtime,model,batch,latency_ms,...).

    Each model runs in a child process and twice, at different times. Its outputs must be finite
    and, with --reference, agree with those of the runtime that was measured into that folder first.

    Examples:
      acesniper collect examples/models --device edge-1 --output edge-1.csv
      acesniper collect --atlas --device edge-1 --output edge-1.parquet
    """
    from acesniper.probe.collect import Target, collect, write_rows
    from acesniper.probe.isolation import Isolated, LatencyJob
    from acesniper.probe.latency import QUICK_LATENCY, LatencyEffort
    from acesniper.probe.platform_facts import facts
    from acesniper.probe.runtimes import RuntimeOptions
    from acesniper.probe.runtimes import runtime as runtime_named

    count = thread_count(threads)
    quota = cpu_quota or facts().cpu_quota
    options = RuntimeOptions(count, optimise, precision)
    target = Target(
        device or platform.node(),
        runtime,
        runtime_named(runtime).version,
        options,
        quota,
        os.environ.get(ISA),
    )
    throttled = quota is not None and quota < count
    job = LatencyJob(
        runtime, options, QUICK_LATENCY if quick else LatencyEffort(), throttled, reference
    )
    with (
        _models(models or [], atlas) as folder,
        err.status("measuring") as status,
        Isolated(job) as one,
    ):
        wanted = _wanted(folder, batch, parse_shapes(shape))
        rows = list(
            collect(
                wanted,
                target,
                one.measure,
                passes=1 if quick else passes,
                progress=lambda text: _tell(status.update, text),
            )
        )
    if not rows:
        raise InvalidInput("no model could be measured")
    write_rows(rows, output)


def _tell(update: Callable[[str], None], text: str) -> None:
    """Names go by; failures stay on the screen."""
    if ": " in text:
        err.print(text, highlight=False)
    else:
        update(text)


@contextmanager
def _models(models: Sequence[Path], atlas: bool) -> Iterator[Sequence[Path]]:
    """The models asked for; the networks of the atlas are unpacked for as long as needed."""
    from acesniper.predictor.atlas.networks import unpack

    if not atlas:
        yield models
        return
    with tempfile.TemporaryDirectory() as folder:
        yield [*models, unpack(Path(folder))]


def _wanted(
    paths: Sequence[Path], batches: Sequence[int], shapes: dict[str, int]
) -> list["ModelCase"]:
    """What to measure."""
    from acesniper.probe.collect import ModelCase

    files = [each for path in paths for each in _files(path)]
    found = [ModelCase(file, batch, {**own, **shapes}) for file, own in files for batch in batches]
    missing = [str(each.path) for each in found if not each.path.is_file()]
    if missing or not found:
        raise InvalidInput(f"there is no model {', '.join(missing) or 'given'}")
    return found


def _files(path: Path) -> list[tuple[Path, dict[str, int]]]:
    """A file, or those of a folder, whose index, if it has one, binds their dimensions."""
    index = path / "index.json"
    if index.is_file():
        entries = json.loads(index.read_text()).values()
        return [(path / each["file"], each["shapes"]) for each in entries]
    if path.is_dir():
        return [(file, {}) for file in sorted(path.glob("*.onnx"))]
    return [(path, {})]
