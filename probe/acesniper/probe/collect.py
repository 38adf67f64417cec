"""Measurement of model latencies on this platform, as rows of a CSV or Parquet table."""

import csv
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

from acesniper.domain.errors import InvalidInput, InvalidModel
from acesniper.probe.latency import Latency
from acesniper.probe.platform_facts import PlatformFacts, facts
from acesniper.probe.runtimes import RuntimeOptions


@dataclass(frozen=True, slots=True)
class ModelCase:
    """A model file to measure, its batch size, and the sizes of its symbolic dimensions."""

    path: Path
    batch: int = 1
    shapes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """Platform on which models are measured: device name, runtime and its options.

    `isa` names the instruction set if the environment limits it; `cpu_quota` is in cores.
    """

    device: str
    runtime: str
    runtime_version: str
    options: RuntimeOptions
    cpu_quota: float | None = None
    isa: str | None = None


@dataclass(frozen=True, slots=True)
class LatencyRecord:
    """One measured latency: `latency_ms` of one batch in the quietest pass, and its variation.

    `spread` is (highest - lowest) / lowest over the passes; `median_ms` and `p90_ms` are over the
    runs of the quietest pass. `disagreement` is the largest difference of an output from that of
    the reference runtime, relative to the largest value there; None without a reference.
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


COLUMNS = tuple(column.name for column in fields(LatencyRecord))

Measure = Callable[[ModelCase], Latency]
"""Measures one model once. Raises InvalidModel for one that cannot run on this platform."""


def collect(
    cases: Sequence[ModelCase],
    target: Target,
    measure: Measure,
    *,
    passes: int = 2,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[LatencyRecord]:
    """Rows for the models that run on this platform; `progress` receives names and failures.

    Each pass loads every model again, so that noise affects different models in different passes;
    the lowest pass counts, since noise only adds time.
    """
    passes_by_case: dict[int, list[Latency]] = {}
    failed: set[int] = set()
    for number in range(passes):
        for index, case in enumerate(cases):
            if index in failed:
                continue
            progress(f"{case.path.stem} ({number + 1}/{passes})")
            try:
                passes_by_case.setdefault(index, []).append(measure(case))
            except InvalidModel as error:
                progress(f"{case.path.stem}: {error.reason}: {error}")
                failed.add(index)
    platform = facts()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for index, measured in passes_by_case.items():
        if index not in failed:
            yield _row(cases[index], target, measured, platform=platform, measured_at=now)


def _row(
    case: ModelCase,
    target: Target,
    passes: Sequence[Latency],
    *,
    platform: PlatformFacts,
    measured_at: str,
) -> LatencyRecord:
    best = min(passes, key=lambda latency: latency.seconds)
    compared = [run.disagreement for run in passes if run.disagreement is not None]
    return LatencyRecord(
        device=target.device,
        runtime=target.runtime,
        model=case.path.stem,
        batch=case.batch,
        latency_ms=round(best.seconds * 1e3, 4),
        spread=round(max(run.seconds for run in passes) / best.seconds - 1, 4),
        passes=len(passes),
        median_ms=round(best.median_s * 1e3, 4),
        p90_ms=round(best.p90_s * 1e3, 4),
        load_ms=round(min(run.load_s for run in passes) * 1e3, 2),
        disagreement=max(compared) if compared else None,
        threads=target.options.threads,
        precision=target.options.precision,
        optimised=target.options.optimise,
        isa=target.isa,
        cpu_quota=target.cpu_quota,
        cpu_model=platform.cpu_model,
        architecture=platform.architecture,
        runtime_version=target.runtime_version,
        measured_at=measured_at,
    )


def write_rows(rows: Sequence[LatencyRecord], output: Path | None) -> None:
    """Write rows to a file (.parquet, else CSV), or as CSV to standard output."""
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


def _write_parquet(rows: Sequence[LatencyRecord], output: Path) -> None:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "writing Parquet needs pyarrow: pip install pyarrow, or use a .csv file"
        ) from error
    kinds = {str: arrow.string(), int: arrow.int32(), float: arrow.float64(), bool: arrow.bool_()}
    optional = {"disagreement": float, "isa": str, "cpu_quota": float}
    types = {**LatencyRecord.__annotations__, **optional}
    schema = arrow.schema([(name, kinds[types[name]]) for name in COLUMNS])
    table = arrow.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    parquet.write_table(table, output, compression="zstd")
