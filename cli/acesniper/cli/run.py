"""`acesniper run`: the runner of a task's pod."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from acesniper.cli.console import err
from acesniper.cli.options import (
    Batch,
    Precision,
    RuntimeName,
    Shapes,
    Threads,
    parse_shapes,
    thread_count,
)

TERMINATION_LOG = Path("/dev/termination-log")
"""Where Kubernetes looks for a container's last words; it exists in pods only."""

SIGTERM_EXIT = 143
PATIENCE_S = 2.0
"""A run shorter than this shows no progress bar."""


def command(
    model: Annotated[str, typer.Argument(help="ONNX file, or its http(s) address.")],
    inferences: Annotated[int, typer.Option("--inferences", "-n", help="Batches.", min=1)] = 1,
    batch: Batch = 1,
    shape: Shapes = [],  # noqa: B006
    source: Annotated[
        Path | None,
        typer.Option("--input", help=".npy or .npz file, or a folder of them; default: random."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder that gets one .npz per batch.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Digest the file must have.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="File for the report; in a pod its termination message.")
    ] = None,
    device: Annotated[
        str, typer.Option(envvar="ACESNIPER_DEVICE", help="Name of the device, for the report.")
    ] = "",
    runtime: RuntimeName = "onnxruntime",
    threads: Threads = 0,
    precision: Precision = "f32",
) -> None:
    """Run a model over batches and report its latency as one line of JSON.

    Ends cleanly on SIGTERM: the batch at work finishes, and the report counts what was done.

    Example:
      acesniper run resnet50.onnx --inferences 100
    """
    from acesniper.probe.runner import Job, run_model
    from acesniper.probe.runtimes import Options
    from acesniper.probe.runtimes import runtime as runtime_named
    from acesniper.probe.source import local_model

    shapes = parse_shapes(shape)
    options = Options(thread_count(threads), precision=precision)
    begin = time.perf_counter()
    with local_model(model) as path, _progress(path.name, inferences) as progress:
        fetch_s = time.perf_counter() - begin
        job = Job(path, inferences, batch, shapes, sha256, source, output, device, fetch_s)
        found = run_model(job, runtime_named(runtime), options, progress=progress)
    print(found.json())
    target = report or (TERMINATION_LOG if TERMINATION_LOG.exists() else None)
    if target is not None:
        target.write_text(found.json() + "\n")
    if found.inferences < inferences:
        raise typer.Exit(SIGTERM_EXIT)


@contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, once the run takes longer than a moment."""
    start = time.monotonic()
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(name, total=total, visible=False)

        def show(done: int) -> None:
            bar.update(task, completed=done, visible=time.monotonic() - start > PATIENCE_S)

        yield show
