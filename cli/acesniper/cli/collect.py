"""`acesniper collect`: measure models on this device."""

import csv
import json
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
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
)
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.probe.collect import Row, Wanted


def command(
    models: Annotated[
        list[Path], typer.Argument(help="ONNX files, or folders of them with an index.json.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV file; default: standard output.")
    ] = None,
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
    """Measure models on this device into a CSV table (device,runtime,model,batch,latency_ms,...).

    Example:
      acesniper collect examples/models --device edge-1 --output edge-1.csv
    """
    from acesniper.probe.collect import Plan, collect
    from acesniper.probe.platform_facts import facts
    from acesniper.probe.runtimes import Options
    from acesniper.probe.runtimes import runtime as runtime_named
    from acesniper.probe.timing import Effort

    wanted = _wanted(models, batch, parse_shapes(shape))
    short = Plan(1, Effort(rounds=1, item_s=0.1, extra_rounds=0, throttled_item_s=0.3))
    count = thread_count(threads)
    quota = cpu_quota or facts().cpu_quota
    with err.status("measuring") as status:
        rows = list(
            collect(
                wanted,
                runtime_named(runtime),
                Options(count, optimise, precision),
                device=device or platform.node(),
                plan=short if quick else Plan(),
                throttled=quota is not None and quota < count,
                progress=status.update,
            )
        )
    write(rows, output)


def write(rows: Iterable["Row"], output: Path | None) -> None:
    """Write the rows as CSV, with a header."""
    from acesniper.probe.collect import COLUMNS

    file = sys.stdout if output is None else output.open("w", newline="", encoding="utf-8")
    try:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    finally:
        if output is not None:
            file.close()


def _wanted(
    paths: Sequence[Path], batches: Sequence[int], shapes: dict[str, int]
) -> list["Wanted"]:
    """What to measure; a folder's index binds the dimensions of its models."""
    from acesniper.probe.collect import Wanted

    found = []
    for path in paths:
        index = json.loads((path / "index.json").read_text()) if path.is_dir() else {}
        files = [(path / e["file"], e["shapes"]) for e in index.values()] or [(path, {})]
        for file, sizes in files:
            found += [Wanted(file, batch, {**sizes, **shapes}) for batch in batches]
    missing = [str(each.path) for each in found if not each.path.is_file()]
    if missing or not found:
        raise InvalidInput(f"there is no model {', '.join(missing) or 'given'}")
    return found
