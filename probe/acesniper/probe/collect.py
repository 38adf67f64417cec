"""Measure models on this platform: rows for a table of true latencies."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

from acesniper.domain.errors import InvalidModel
from acesniper.probe.feeds import random_feeds
from acesniper.probe.models import bound_model
from acesniper.probe.runtimes import Options, Runtime
from acesniper.probe.timing import Effort, measure


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model to measure, with its batch and the sizes of its symbolic dimensions."""

    path: Path
    batch: int = 1
    shapes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One latency: `latency_ms` of one batch, and its relative spread between passes."""

    device: str
    runtime: str
    model: str
    batch: int
    latency_ms: float
    spread: float
    load_ms: float
    threads: int
    precision: str
    runtime_version: str
    measured_at: str


COLUMNS = tuple(each.name for each in fields(Row))


@dataclass(frozen=True, slots=True)
class Plan:
    """Passes over all models, and seconds per model and pass (`effort`)."""

    passes: int = 2
    effort: Effort = Effort(rounds=2, item_s=0.1, extra_rounds=0, throttled_item_s=0.5)  # noqa: RUF009


def collect(
    wanted: Sequence[Wanted],
    runtime: Runtime,
    options: Options,
    *,
    device: str,
    plan: Plan,
    throttled: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """Rows for the models this platform can run; `progress` hears names and failures.

    Every pass loads each model anew, so that a noisy minute hits different models differently;
    the lowest pass counts, for noise only adds. Under a quota one long pass is taken as it is.
    """
    found: dict[int, list[tuple[float, float]]] = {}
    passes_wanted = 1 if throttled else plan.passes
    for number in range(passes_wanted):
        for index, each in enumerate(wanted):
            progress(f"{each.path.stem} ({number + 1}/{passes_wanted})")
            try:
                times = _one(each, runtime, options, plan.effort, throttled)
            except InvalidModel as error:
                progress(f"{each.path.stem}: {error.reason}: {error}")
                continue
            found.setdefault(index, []).append(times)
    for index, passes in found.items():
        latencies = [latency for latency, _ in passes]
        yield Row(
            device=device,
            runtime=runtime.name,
            model=wanted[index].path.stem,
            batch=wanted[index].batch,
            latency_ms=round(min(latencies) * 1e3, 4),
            spread=round((max(latencies) - min(latencies)) / min(latencies), 4),
            load_ms=round(min(load for _, load in passes) * 1e3, 2),
            threads=options.threads,
            precision=options.precision,
            runtime_version=runtime.version,
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _one(
    each: Wanted, runtime: Runtime, options: Options, effort: Effort, throttled: bool
) -> tuple[float, float]:
    """Latency and load time of one model, in seconds."""
    start = time.perf_counter()
    session = runtime.load(bound_model(each.path, each.batch, each.shapes), options)
    load_s = time.perf_counter() - start
    feeds = random_feeds(session.inputs)
    reading = measure({"model": lambda: session.run(feeds)}, effort, throttled=throttled)["model"]
    return reading.seconds, load_s
