"""`acesniper run`: the entry point of a task's pod."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acesniper.cli.console import progress_bar
from acesniper.cli.options import (
    Batch,
    Precision,
    RuntimeName,
    Shapes,
    Threads,
    parse_shapes,
    thread_count,
)

if TYPE_CHECKING:
    from acesniper.probe.runner import Outputs

TERMINATION_LOG = Path("/dev/termination-log")
"""The file of a container's termination message; it exists in pods only."""

SIGTERM_EXIT = 143


def command(
    model: Annotated[
        str, typer.Argument(help="ONNX file or its address: http(s)://, s3:// or oci://.")
    ],
    inferences: Annotated[
        int, typer.Option("--inferences", "-n", help="Number of batches.", min=1)
    ] = 1,
    batch: Batch = 1,
    shape: Shapes = [],  # noqa: B006
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="A .npy or .npz file, its address, or a folder of them; default: random data.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(help="Folder or s3:// address to write to, one .npz file per batch."),
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Expected digest of the model file.")] = None,
    input_sha256: Annotated[
        str | None, typer.Option(help="Expected digest of a downloaded input.")
    ] = None,
    secret: Annotated[
        Path | None, typer.Option(help="Folder with credentials for the model, one file per key.")
    ] = None,
    input_secret: Annotated[
        Path | None, typer.Option(help="Folder with credentials for the input.")
    ] = None,
    output_secret: Annotated[
        Path | None, typer.Option(help="Folder with credentials for the output.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Cache folder for downloaded models, shared with other runs."),
    ] = None,
    cache_bytes: Annotated[int, typer.Option(help="Maximum size of the cache in bytes.", min=0)] = 4
    << 30,
    report: Annotated[
        Path | None,
        typer.Option(
            help="File to write the report to; default: the termination message in a pod."
        ),
    ] = None,
    progress_port: Annotated[
        int,
        typer.Option(
            help="Port that reports the progress over HTTP; 0 disables it.", min=0, max=65535
        ),
    ] = 0,
    device: Annotated[
        str, typer.Option(envvar="ACESNIPER_DEVICE", help="Name of the device in the report.")
    ] = "",
    runtime: RuntimeName = "onnxruntime",
    threads: Threads = 0,
    precision: Precision = "f32",
) -> None:
    """Run a model over batches and print its latency as one line of JSON.

    On SIGTERM the current batch is completed and the report counts the completed batches.

    Example:
      acesniper run resnet50.onnx --inferences 100
    """
    from acesniper.probe.model_cache import ModelCache
    from acesniper.probe.runner import RunSpec, run_model
    from acesniper.probe.runtimes import RuntimeOptions
    from acesniper.probe.runtimes import runtime as load_runtime
    from acesniper.probe.source import local_input, local_model
    from acesniper.runtime.artifacts import Credentials

    shapes = parse_shapes(shape)
    options = RuntimeOptions(thread_count(threads), precision=precision)
    with ExitStack() as stack:
        start = time.perf_counter()
        local = stack.enter_context(
            local_model(
                model,
                sha256,
                credentials=Credentials.read(secret),
                cache=ModelCache(cache, cache_bytes) if cache else None,
            )
        )
        fetch_s = time.perf_counter() - start
        inputs = source and stack.enter_context(
            local_input(source, input_sha256, credentials=Credentials.read(input_secret))
        )
        job = RunSpec(
            local.path,
            inferences=inferences,
            batch=batch,
            shapes=shapes,
            sha256=sha256,
            source=inputs or None,
            outputs=_outputs(output, output_secret),
            device=device,
            fetch_s=fetch_s,
            verified=local.verified,
        )
        progress = stack.enter_context(_progress(local.path.name, inferences, progress_port))
        result = run_model(job, load_runtime(runtime), options, progress=progress)
    print(result.json())
    report_file = report or (TERMINATION_LOG if TERMINATION_LOG.exists() else None)
    if report_file is not None:
        report_file.write_text(result.json() + "\n")
    if result.inferences < inferences:
        raise typer.Exit(SIGTERM_EXIT)


def _outputs(location: str | None, secret: Path | None) -> "Outputs | None":
    from acesniper.api.address import Address
    from acesniper.probe.runner import to_bucket, to_folder
    from acesniper.runtime.artifacts import Bucket, Credentials

    if location is None:
        return None
    if location.startswith("s3://"):
        return to_bucket(Bucket(Address.parse(location), Credentials.read(secret)))
    return to_folder(Path(location))


@contextmanager
def _progress(name: str, total: int, port: int) -> Iterator[Callable[[int], None]]:
    """Report progress on a terminal and, if there is a port, over HTTP."""
    with progress_bar(name, total) as update_bar, ExitStack() as stack:
        if not port:
            yield update_bar
            return

        from acesniper.probe.progress import ProgressServer

        served = ProgressServer(total)
        stack.enter_context(served.served(port))

        def update(completed: int) -> None:
            update_bar(completed)
            served(completed)

        yield update
