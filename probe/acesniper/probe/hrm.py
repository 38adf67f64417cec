"""Measure a platform with the suite."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np

from acesniper.domain.device import HardwareVector, ProbeResult
from acesniper.domain.errors import InvalidModel
from acesniper.probe.feeds import random_feeds
from acesniper.probe.platform_facts import facts
from acesniper.probe.runtimes import Options, Runtime
from acesniper.probe.suite import (
    MEMORY,
    MEMORY_BYTES,
    PROBES,
    SENTINEL,
    SUITE,
    VERSION,
)
from acesniper.probe.timing import FULL, Effort, Run, measure

Progress = Callable[[str], None]


def probe(
    runtime: Runtime,
    options: Options,
    *,
    effort: Effort = FULL,
    cpu_quota: float | None = None,
    progress: Progress = lambda _: None,
) -> ProbeResult:
    """What this platform does in that runtime. A probe that cannot run is named in `missing`.

    `cpu_quota` is the limit in cores where no cgroup says it.
    """
    start = time.perf_counter()
    found = facts()
    quota = cpu_quota or found.cpu_quota
    throttled = quota is not None and quota < options.threads
    progress("loading the probes")
    runs = {**_runs(runtime, options), MEMORY: copy_memory()}
    progress("measuring")
    readings = measure(runs, effort, sentinel=runs.get(SENTINEL), throttled=throttled)
    return ProbeResult(
        vector=HardwareVector(SUITE, VERSION, readings),
        provider=runtime.provider,
        runtime=runtime.name,
        runtime_version=runtime.version,
        architecture=found.architecture,
        cpu_model=found.cpu_model,
        cores=found.cores,
        threads=options.threads,
        cpu_quota=quota,
        memory_bytes=found.memory_bytes,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        duration_s=round(time.perf_counter() - start, 3),
        missing=tuple(name for name in PROBES if name not in runs),
    )


def _runs(runtime: Runtime, options: Options) -> Mapping[str, Run]:
    runs: dict[str, Run] = {}
    for name, each in PROBES.items():
        try:
            session = runtime.load(each.build().SerializeToString(), options)
        except InvalidModel:
            continue  # absent from the vector; the result names it
        feeds = random_feeds(session.inputs)
        runs[name] = lambda session=session, feeds=feeds: session.run(feeds)  # type: ignore[misc]
    return runs


def copy_memory() -> Run:
    """A copy that reads and writes MEMORY_BYTES in all."""
    source = np.ones(MEMORY_BYTES // 2, dtype=np.uint8)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source)
