"""`acesniper run`: the runner of a task's pod."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from acesniper.probe.runner import Outputs

TERMINATION_LOG = Path("/dev/termination-log")
"""Where Kubernetes looks for a container's last words; it exists in pods only."""

SIGTERM_EXIT = 143
PATIENCE_S = 2.0
"""A run shorter than this shows no progress bar."""


def command(
    model: Annotated[
        str, typer.Argument(help="ONNX file, or its address: http(s)://, s3:// or oci://.")
    ],
    inferences: Annotated[int, typer.Option("--inferences", "-n", help="Batches.", min=1)] = 1,
    batch: Batch = 1,
    shape: Shapes = [],  # noqa: B006
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            help=".npy or .npz file or its address, or a folder of them; default: random.",
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Folder or s3:// address that gets one .npz per batch.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Digest the file must have.")] = None,
    input_sha256: Annotated[
        str | None, typer.Option(help="Digest that a fetched input must have.")
    ] = None,
    secret: Annotated[
        Path | None, typer.Option(help="Folder with credentials for the model, a key a file.")
    ] = None,
    input_secret: Annotated[Path | None, typer.Option(help="The same for the input.")] = None,
    output_secret: Annotated[Path | None, typer.Option(help="The same for the output.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder where fetched models stay, shared with other runs.")
    ] = None,
    cache_bytes: Annotated[int, typer.Option(help="What stays there at most.", min=0)] = 4 << 30,
    report: Annotated[
        Path | None, typer.Option(help="File for the report; in a pod its termination message.")
    ] = None,
    progress_port: Annotated[
        int, typer.Option(help="Say on this port how far it is; 0: not.", min=0, max=65535)
    ] = 0,
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
    from acesniper.probe.model_cache import ModelCache
    from acesniper.probe.runner import RunSpec, run_model
    from acesniper.probe.runtimes import RuntimeOptions
    from acesniper.probe.runtimes import runtime as runtime_named
    from acesniper.probe.source import local_input, local_model
    from acesniper.runtime.artifacts import Credentials

    shapes = parse_shapes(shape)
    options = RuntimeOptions(thread_count(threads), precision=precision)
    with ExitStack() as stack:
        begin = time.perf_counter()
        found = stack.enter_context(
            local_model(
                model,
                sha256,
                credentials=Credentials.read(secret),
                cache=ModelCache(cache, cache_bytes) if cache else None,
            )
        )
        fetch_s = time.perf_counter() - begin
        fed = source and stack.enter_context(
            local_input(source, input_sha256, credentials=Credentials.read(input_secret))
        )
        job = RunSpec(
            found.path,
            inferences=inferences,
            batch=batch,
            shapes=shapes,
            sha256=sha256,
            source=fed or None,
            outputs=_outputs(output, output_secret),
            device=device,
            fetch_s=fetch_s,
            verified=found.verified,
        )
        progress = stack.enter_context(_progress(found.path.name, inferences, progress_port))
        ran = run_model(job, runtime_named(runtime), options, progress=progress)
    print(ran.json())
    target = report or (TERMINATION_LOG if TERMINATION_LOG.exists() else None)
    if target is not None:
        target.write_text(ran.json() + "\n")
    if ran.inferences < inferences:
        raise typer.Exit(SIGTERM_EXIT)


def _outputs(where: str | None, secret: Path | None) -> "Outputs | None":
    from acesniper.api.address import Address
    from acesniper.probe.runner import to_bucket, to_folder
    from acesniper.runtime.artifacts import Bucket, Credentials

    if where is None:
        return None
    if where.startswith("s3://"):
        return to_bucket(Bucket(Address.parse(where), Credentials.read(secret)))
    return to_folder(Path(where))


@contextmanager
def _progress(name: str, total: int, port: int) -> Iterator[Callable[[int], None]]:
    """Who hears how far it is: a bar on a terminal, and whoever asks at the port."""
    from acesniper.probe.progress import ProgressServer as Served

    with _bar(name, total) as bar, ExitStack() as stack:
        if not port:
            yield bar
            return
        served = Served(total)
        stack.enter_context(served.served(port))

        def show(done: int) -> None:
            bar(done)
            served(done)

        yield show


@contextmanager
def _bar(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, once the run takes longer than a moment."""
    start = time.monotonic()
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(name, total=total, visible=False)

        def show(done: int) -> None:
            bar.update(task, completed=done, visible=time.monotonic() - start > PATIENCE_S)

        yield show
