"""Measurement of a platform with the probe suite: its hardware vector."""

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
from acesniper.probe.platform_facts import PlatformFacts, facts
from acesniper.probe.runtimes import Runtime, RuntimeOptions
from acesniper.probe.suite import (
    FILE_READ,
    LOAD,
    MEMORY,
    SENTINEL,
    SUITE,
    VERSION,
    ProbePlan,
    copy_memory,
    load_model,
    read_file,
)

Progress = Callable[[str], None]

FULL_SUITE = ProbePlan()

ACCELERATORS = frozenset(
    ("cuda", "tensorrt", "rocm", "migraphx", "coreml", "dml", "vulkan", "opencl", "metal", "qnn")
)
"""Providers that do not run on the CPU, so that its CPU time does not measure them."""

TOLERANCE = 0.1
"""Relative tolerance for the mean of an output; lower precisions stayed below 0.01."""


def probe(
    runtime: Runtime,
    options: RuntimeOptions,
    *,
    effort: ProbeEffort = FULL_PROBE,
    cpu_quota: float | None = None,
    progress: Progress = lambda _: None,
    plan: ProbePlan = FULL_SUITE,
    platform: PlatformFacts | None = None,
) -> ProbeResult:
    """Measure this platform in one runtime; probes without a reading are listed in `missing`.

    `cpu_quota` is the limit in cores if no cgroup states it; `platform` is read from this machine
    by default.
    """
    start = time.perf_counter()
    platform = platform or facts()
    quota = cpu_quota or platform.cpu_quota
    readings = _measured(runtime, options, effort, plan, quota, platform.cores, progress)
    if (file := read_file(plan.file_bytes, plan.folder)) is not None:
        readings[FILE_READ] = file
    return ProbeResult(
        vector=HardwareVector(SUITE, VERSION, readings),
        provider=runtime.provider,
        runtime=runtime.name,
        runtime_version=runtime.version,
        architecture=platform.architecture,
        cpu_model=platform.cpu_model,
        cores=platform.cores,
        threads=options.threads,
        cpu_quota=quota,
        memory_bytes=platform.memory_bytes,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        duration_s=round(time.perf_counter() - start, 3),
        missing=tuple(
            name for name in (*plan.probes, MEMORY, LOAD, FILE_READ) if name not in readings
        ),
    )


def _measured(
    runtime: Runtime,
    options: RuntimeOptions,
    effort: ProbeEffort,
    plan: ProbePlan,
    quota: float | None,
    cores: int,
    progress: Progress,
) -> dict[str, Reading]:
    """Readings of the probes that run; the heavy ones also under load.

    Not under a quota: readings are long-term means there, and both processes share the quota.
    """
    progress("loading the probe models")
    runs = {
        **_runs(runtime, options, plan),
        MEMORY: copy_memory(plan.memory_bytes),
        **_loading(runtime, options, plan),
    }
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
    heavy = {name: runs[name] for name in plan.heavy if name in runs}
    warm = sustained(heavy, effort.heat_s, alone=alone) if effort.heat_s else {}
    can_contend = effort.neighbour_s > 0 and cores > 1
    return _with_load(
        readings, warm, with_busy_neighbour(heavy, effort.neighbour_s) if can_contend else {}
    )


def _runs(runtime: Runtime, options: RuntimeOptions, plan: ProbePlan) -> dict[str, TimedCall]:
    """Probes that this runtime can load and computes correctly."""
    runs: dict[str, TimedCall] = {}
    for name, suite_probe in plan.probes.items():
        try:
            session = runtime.load(suite_probe.build().SerializeToString(), options)
            feeds = random_feeds(session.inputs)
            is_correct = computes(name, session.run(feeds))
        except InvalidModel:
            continue  # the result lists it as missing
        if is_correct:
            runs[name] = lambda session=session, feeds=feeds: session.run(feeds)  # type: ignore[misc]
    return runs


def _loading(runtime: Runtime, options: RuntimeOptions, plan: ProbePlan) -> dict[str, TimedCall]:
    try:
        return {LOAD: load_model(runtime, options, plan.load_bytes)}
    except InvalidModel:
        return {}


def computes(name: str, outputs: Mapping[str, np.ndarray]) -> bool:
    """Whether a probe's output is correct: a kernel that skips its work would look fast."""
    if len(outputs) != 1:
        return False
    mean = float(np.mean(next(iter(outputs.values())), dtype=np.float64))
    return bool(np.isclose(mean, known_suite().mean_output[name], rtol=TOLERANCE))


def _with_load(
    cool: Mapping[str, Reading], warm: Mapping[str, float], contended: Mapping[str, float]
) -> dict[str, Reading]:
    """Readings completed by those under sustained load and next to a busy neighbour."""
    return {
        name: replace(reading, sustained_s=warm.get(name), loaded_s=contended.get(name))
        for name, reading in cool.items()
    }
