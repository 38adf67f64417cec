"""Measure models on this platform: rows for a table of true latencies."""

import csv
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

from acesniper.domain.errors import InvalidInput, InvalidModel
from acesniper.probe.latency import Latency
from acesniper.probe.platform_facts import facts
from acesniper.probe.runtimes import RuntimeOptions


@dataclass(frozen=True, slots=True)
class ModelCase:
    """A model to measure, with its batch and the sizes of its symbolic dimensions."""

    path: Path
    batch: int = 1
    shapes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """Where models are measured: a device's name, and how its runtime is run.

    `isa` names the instruction set where the environment limits it; `cpu_quota` is in cores.
    """

    device: str
    runtime: str
    runtime_version: str
    options: RuntimeOptions
    cpu_quota: float | None = None
    isa: str | None = None


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """One latency: `latency_ms` of one batch in the quietest pass, and how passes differ.

    `spread` is (highest - lowest) / lowest over the passes; `median_ms` and `p90_ms` are over the
    runs of the quietest pass. `disagreement` is the largest difference of an output from that of
    the reference runtime, relative to the largest value there; None where nothing was compared.
    """

    device: str
    runtime: str
    model: str
    batch: int
    latency_ms: float
    spread: float
    passes: int
    median_ms: float
    p90_ms: float
    load_ms: float
    disagreement: float | None
    threads: int
    precision: str
    optimised: bool
    isa: str | None
    cpu_quota: float | None
    cpu_model: str
    architecture: str
    runtime_version: str
    measured_at: str


COLUMNS = tuple(each.name for each in fields(LatencyRow))

Measure = Callable[[ModelCase], Latency]
"""Measures one model once. Raises InvalidModel for one that does not run here."""


def collect(
    wanted: Sequence[ModelCase],
    target: Target,
    measure: Measure,
    *,
    passes: int = 2,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[LatencyRow]:
    """Rows for the models this platform can run; `progress` hears names and failures.

    Every pass loads each model anew, so that a noisy minute hits different models differently;
    the lowest pass counts, for noise only adds.
    """
    found: dict[int, list[Latency]] = {}
    failed: set[int] = set()
    for number in range(passes):
        for index, each in enumerate(wanted):
            if index in failed:
                continue
            progress(f"{each.path.stem} ({number + 1}/{passes})")
            try:
                found.setdefault(index, []).append(measure(each))
            except InvalidModel as error:
                progress(f"{each.path.stem}: {error.reason}: {error}")
                failed.add(index)
    known = facts()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for index, measured in found.items():
        if index not in failed:
            yield _row(wanted[index], target, measured, (known.cpu_model, known.architecture, now))


def _row(
    wanted: ModelCase, target: Target, passes: Sequence[Latency], known: tuple[str, str, str]
) -> LatencyRow:
    best = min(passes, key=lambda each: each.seconds)
    compared = [each.disagreement for each in passes if each.disagreement is not None]
    return LatencyRow(
        device=target.device,
        runtime=target.runtime,
        model=wanted.path.stem,
        batch=wanted.batch,
        latency_ms=round(best.seconds * 1e3, 4),
        spread=round(max(each.seconds for each in passes) / best.seconds - 1, 4),
        passes=len(passes),
        median_ms=round(best.median_s * 1e3, 4),
        p90_ms=round(best.p90_s * 1e3, 4),
        load_ms=round(min(each.load_s for each in passes) * 1e3, 2),
        disagreement=max(compared) if compared else None,
        threads=target.options.threads,
        precision=target.options.precision,
        optimised=target.options.optimise,
        isa=target.isa,
        cpu_quota=target.cpu_quota,
        cpu_model=known[0],
        architecture=known[1],
        runtime_version=target.runtime_version,
        measured_at=known[2],
    )


def write_rows(rows: Sequence[LatencyRow], output: Path | None) -> None:
    """Write the rows to a file, by its ending .parquet or as CSV, or as CSV to standard output."""
    if output is not None and output.suffix == ".parquet":
        _write_parquet(rows, output)
        return
    file = sys.stdout if output is None else output.open("w", newline="", encoding="utf-8")
    try:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    finally:
        if output is not None:
            file.close()


def _write_parquet(rows: Sequence[LatencyRow], output: Path) -> None:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "Parquet needs the package pyarrow: pip install pyarrow, or name a .csv file"
        ) from error
    kinds = {str: arrow.string(), int: arrow.int32(), float: arrow.float64(), bool: arrow.bool_()}
    optional = {"disagreement": float, "isa": str, "cpu_quota": float}
    types = {**LatencyRow.__annotations__, **optional}
    schema = arrow.schema([(name, kinds[types[name]]) for name in COLUMNS])
    table = arrow.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    parquet.write_table(table, output, compression="zstd")
