"""Timing of short runs on a noisy machine, with and without a CPU quota.

Without a quota, rounds over all items are interleaved, so that a slow second affects one round of
each item instead of every round of one. The kernel counts how often it takes the processor from a
thread that is ready to run; a run during which that happened also measures other processes and is
set aside while there are uninterrupted ones. A round keeps a low quantile of its runs, since noise
only adds time. If every run was interrupted, the CPU time of a single thread is used instead. A
sentinel runs before and after each round; a round near which it was slower than its best is
repeated.

Under a quota a process runs at full speed for part of each period and is stopped for the rest. A
low quantile would give the speed of the burst, and a plain mean over a few periods is off by the
part of a period that it cuts. Means are therefore taken over whole periods, from one stop to
another. A suite of short items would need seconds for each; there, one long run of the sentinel
measures the share of the processor that the process really gets, and each item needs only its CPU
time. No system call is made between the timed runs: kernels stop a process at the end of one.
"""

import gc
import math
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from acesniper.domain.device import Reading

TimedCall = Callable[[], object]

LOW = 0.1
"""Quantile of the runs of a round that represents the round."""
LEAST_RUNS, MOST_RUNS = 2, 1000
"""Bounds on the runs per item and round; a single run would measure cold caches."""
PATIENCE = 3.0
"""Factor by which an item may exceed its time in a round while all its runs are interrupted."""
STOP_S = 0.004
"""A run is taken for stopped if it took three times the median and at least this much longer."""
CONTENDED = 0.9
"""Below this share of the quota, other processes compete for the processor: the quota is used."""


@dataclass(frozen=True, slots=True)
class ProbeEffort:
    """Duration of a measurement: rounds, seconds per item and round, tolerance of the sentinel.

    No round starts after `most_s`, so that a busy device takes no longer to measure. Under a quota
    an item alone takes `throttled_item_s`, and the suite's sentinel `meter_s`. The sustained
    readings follow `heat_s` seconds of load, and a busy neighbour runs for `neighbour_s`; 0 skips
    them.
    """

    rounds: int = 6
    item_s: float = 0.012
    sentinel_tolerance: float = 0.05
    extra_rounds: int = 4
    throttled_item_s: float = 0.4
    meter_s: float = 3.0
    most_s: float = 12.0
    heat_s: float = 1.0
    neighbour_s: float = 0.7


FULL_PROBE = ProbeEffort()
QUICK_PROBE = ProbeEffort(
    rounds=3, item_s=0.008, extra_rounds=1, meter_s=1.0, most_s=4.0, heat_s=0.0, neighbour_s=0.0
)


def measure(
    items: Mapping[str, TimedCall],
    effort: ProbeEffort,
    *,
    sentinel: TimedCall | None = None,
    throttled: bool = False,
    quota: float | None = None,
    alone: bool = False,
) -> dict[str, Reading]:
    """A reading for each item, in seconds per run, after two warm-up runs.

    `alone` says that a single thread on the processor does all the work, so that CPU time is
    meaningful. `throttled` says that a quota (in cores, if known) stops the process from time to
    time, so that readings are means.
    """
    for run in items.values():
        run()
        run()
    with _no_garbage_collection():
        if not throttled:
            rounds = list(_quiet_rounds(items, effort, sentinel, alone))
            return {name: reading_of([seconds[name] for seconds in rounds]) for name in items}
        if sentinel is None:
            means = {name: mean_s(run, effort.throttled_item_s) for name, run in items.items()}
            return {name: Reading(seconds, 0.0) for name, seconds in means.items()}
        allowed = cores_allowed(sentinel, effort.meter_s, quota)
        measured = bursts(items, (effort.rounds + 1) // 2, effort.item_s)
    return {
        name: reading_of([burst.long_run_s(allowed) for burst in of_item])
        for name, of_item in measured.items()
    }


def reading_of(values: Sequence[float]) -> Reading:
    """Lower quartile of the rounds, because interference only adds time, and their spread."""
    quarter, half, most = np.quantile(values, [0.25, 0.5, 0.75])
    return Reading(float(quarter), float((most - quarter) / half) if half > 0 else 0.0)


def _quiet_rounds(
    items: Mapping[str, TimedCall],
    effort: ProbeEffort,
    sentinel: TimedCall | None,
    alone: bool,
) -> Iterator[dict[str, float]]:
    """The quiet rounds, or the quietest if there are too few; seconds by item."""

    def sentinel_s() -> float:
        return low_quantile_s(timed_runs(sentinel, effort.item_s), alone=alone) if sentinel else 1.0

    tried: list[tuple[float, dict[str, float]]] = []
    end = time.perf_counter() + effort.most_s
    before = best = sentinel_s()
    for _ in range(effort.rounds + effort.extra_rounds):
        seconds = {
            name: low_quantile_s(timed_runs(run, effort.item_s), alone=alone)
            for name, run in items.items()
        }
        after = sentinel_s()
        tried.append((max(before, after), seconds))
        before, best = after, min(best, after)
        quiet = sum(slowest <= best * (1 + effort.sentinel_tolerance) for slowest, _ in tried)
        if quiet >= effort.rounds or time.perf_counter() > end:
            break
    tried.sort(key=lambda pair: pair[0])
    yield from (seconds for _, seconds in tried[: effort.rounds])


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Garbage collection is off inside the block."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(frozen=True, slots=True)
class TimedRun:
    """Wall and CPU time of one run in seconds (all threads), and whether it was interrupted."""

    wall_s: float
    cpu_s: float
    interrupted: bool


def timed_runs(run: TimedCall, seconds: float) -> list[TimedRun]:
    """Runs for about `seconds` in all, or up to PATIENCE times that while all are interrupted."""
    runs: list[TimedRun] = []
    clean_s = spent_s = 0.0
    while len(runs) < MOST_RUNS:
        sample = timed(run)
        runs.append(sample)
        spent_s += sample.wall_s
        clean_s += 0.0 if sample.interrupted else sample.wall_s
        enough = clean_s >= seconds or spent_s >= PATIENCE * seconds
        if enough and len(runs) >= LEAST_RUNS:
            break
    return runs


def timed(run: TimedCall) -> TimedRun:
    """Time one run. The expensive system calls are outside the interval of the wall clock."""
    switches = involuntary_switches()
    cpu_s = time.process_time()
    start = time.perf_counter()
    run()
    wall_s = time.perf_counter() - start
    cpu_s = time.process_time() - cpu_s
    return TimedRun(wall_s, cpu_s, involuntary_switches() > switches)


def involuntary_switches() -> int:
    """Number of times the kernel preempted a thread of this process that was ready to run."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def low_quantile_s(runs: Sequence[TimedRun], *, alone: bool) -> float:
    """Seconds that represent the runs of a round."""
    clean = [run.wall_s for run in runs if not run.interrupted]
    interrupted = [run.cpu_s if alone else run.wall_s for run in runs]
    return float(np.quantile(clean or interrupted, LOW))


@dataclass(frozen=True, slots=True)
class Burst:
    """Several runs of an item: mean CPU time of one, and wall time of one that was not stopped."""

    cpu_s: float
    wall_s: float

    def long_run_s(self, allowed: float) -> float:
        """Seconds per run at `allowed` CPU seconds per second.

        This is the burst's own wall time if the item does not use up its share.
        """
        return max(self.wall_s, self.cpu_s / allowed)


def cores_allowed(sentinel: TimedCall, seconds: float, quota: float | None) -> float:
    """CPU seconds that this process gets per second when it wants more than its quota."""
    started_s, walls = time.process_time(), _walls_for(sentinel, seconds)
    cpu_s = (time.process_time() - started_s) / len(walls)
    whole = whole_periods(walls)
    cores = cpu_s * len(whole) / sum(whole)
    return quota if quota is not None and cores < CONTENDED * quota else cores


def mean_s(run: TimedCall, seconds: float) -> float:
    """Seconds per run over whole periods within about `seconds`."""
    return float(np.mean(whole_periods(_walls_for(run, seconds))))


def whole_periods(walls: Sequence[float]) -> Sequence[float]:
    """Runs after the first stop up to and including the last; all if there are fewer than two."""
    usual_s = float(np.median(walls))
    longest_s = max(3 * usual_s, usual_s + STOP_S)
    stops = [i for i, wall_s in enumerate(walls) if wall_s > longest_s]
    return walls[stops[0] + 1 : stops[-1] + 1] if len(stops) > 1 else walls


def bursts(items: Mapping[str, TimedCall], rounds: int, seconds: float) -> dict[str, list[Burst]]:
    """One burst per item and round, each with about `seconds` of CPU time."""
    measured: dict[str, list[Burst]] = {name: [] for name in items}
    for _ in range(rounds):
        for name, run in items.items():
            measured[name].append(_burst(run, seconds))
    return measured


def _burst(run: TimedCall, seconds: float) -> Burst:
    fastest_s = max(1e-9, min(_walls(run, LEAST_RUNS)))
    count = max(LEAST_RUNS, min(MOST_RUNS, math.ceil(seconds / fastest_s)))
    started_s = time.process_time()
    walls = _walls(run, count)
    cpu_s = (time.process_time() - started_s) / count
    return Burst(cpu_s, float(np.quantile(walls, LOW)))


def _walls(run: TimedCall, count: int) -> list[float]:
    ends = [time.perf_counter()]
    for _ in range(count):
        run()
        ends.append(time.perf_counter())
    return np.diff(ends).tolist()


def _walls_for(run: TimedCall, seconds: float) -> list[float]:
    ends = [time.perf_counter()]
    while len(ends) == 1 or ends[-1] < ends[0] + seconds:
        run()
        ends.append(time.perf_counter())
    return np.diff(ends).tolist()
