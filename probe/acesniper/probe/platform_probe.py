"""Measure a platform with the suite."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from acesniper.domain.device import HardwareVector, ProbeResult, Reading
from acesniper.domain.errors import InvalidModel
from acesniper.predictor.probe_matrix import known_suite
from acesniper.probe.contention import sustained, with_busy_neighbour
from acesniper.probe.feeds import random_feeds
from acesniper.probe.measure import FULL_PROBE, ProbeEffort, TimedCall, measure
from acesniper.probe.platform_facts import facts
from acesniper.probe.runtimes import Runtime, RuntimeOptions
from acesniper.probe.suite import (
    FILE_READ,
    HEAVY,
    LOAD,
    MEMORY,
    PROBES,
    SENTINEL,
    SUITE,
    VERSION,
    copy_memory,
    load_model,
    read_file,
)

Progress = Callable[[str], None]

ACCELERATORS = frozenset(
    ("cuda", "tensorrt", "rocm", "migraphx", "coreml", "dml", "vulkan", "opencl", "metal", "qnn")
)
"""Providers that work elsewhere than on the processor, whose CPU time says nothing of them."""

TOLERANCE = 0.1
"""How far the mean of an output may be off: lower precisions were off by less than 0.01."""


def probe(
    runtime: Runtime,
    options: RuntimeOptions,
    *,
    effort: ProbeEffort = FULL_PROBE,
    cpu_quota: float | None = None,
    progress: Progress = lambda _: None,
) -> ProbeResult:
    """What this platform does in that runtime. A probe without a reading is named in `missing`.

    `cpu_quota` is the limit in cores where no cgroup says it.
    """
    start = time.perf_counter()
    found = facts()
    quota = cpu_quota or found.cpu_quota
    readings = _measured(runtime, options, effort, quota, found.cores, progress)
    if (file := read_file()) is not None:
        readings[FILE_READ] = file
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
        missing=tuple(name for name in (*PROBES, MEMORY, LOAD, FILE_READ) if name not in readings),
    )


def _measured(
    runtime: Runtime,
    options: RuntimeOptions,
    effort: ProbeEffort,
    quota: float | None,
    cores: int,
    progress: Progress,
) -> dict[str, Reading]:
    """The readings of what runs, the heavy ones also under load.

    Not so under a quota: there readings are means over a long time, and it is for both processes.
    """
    progress("loading the probes")
    runs = {**_runs(runtime, options), MEMORY: copy_memory(), **_loading(runtime, options)}
    alone = options.threads == 1 and runtime.provider not in ACCELERATORS
    throttled = quota is not None and quota < options.threads
    progress("measuring")
    sentinel = runs.get(SENTINEL)
    readings = measure(
        runs, effort, sentinel=sentinel, throttled=throttled, quota=quota, alone=alone
    )
    if throttled:
        return readings
    progress("measuring under load")
    heavy = {name: runs[name] for name in HEAVY if name in runs}
    warm = sustained(heavy, effort.heat_s, alone=alone) if effort.heat_s else {}
    can_meet = effort.neighbour_s > 0 and cores > 1
    return _joined(
        readings, warm, with_busy_neighbour(heavy, effort.neighbour_s) if can_meet else {}
    )


def _runs(runtime: Runtime, options: RuntimeOptions) -> dict[str, TimedCall]:
    """The probes that this runtime can load and that compute what they should."""
    runs: dict[str, TimedCall] = {}
    for name, each in PROBES.items():
        try:
            session = runtime.load(each.build().SerializeToString(), options)
            feeds = random_feeds(session.inputs)
            right = computes(name, session.run(feeds))
        except InvalidModel:
            continue  # absent from the vector; the result names it
        if right:
            runs[name] = lambda session=session, feeds=feeds: session.run(feeds)  # type: ignore[misc]
    return runs


def _loading(runtime: Runtime, options: RuntimeOptions) -> dict[str, TimedCall]:
    try:
        return {LOAD: load_model(runtime, options)}
    except InvalidModel:
        return {}


def computes(name: str, outputs: Mapping[str, np.ndarray]) -> bool:
    """Whether a probe's output is what it should be: a kernel that skips its work looks fast."""
    if len(outputs) != 1:
        return False
    mean = float(np.mean(next(iter(outputs.values())), dtype=np.float64))
    return bool(np.isclose(mean, known_suite().mean_output[name], rtol=TOLERANCE))


def _joined(
    cool: Mapping[str, Reading], warm: Mapping[str, float], beside: Mapping[str, float]
) -> dict[str, Reading]:
    """The readings with what is left of them after a while, and beside a neighbour."""
    return {
        name: replace(each, sustained_s=warm.get(name), loaded_s=beside.get(name))
        for name, each in cool.items()
    }
