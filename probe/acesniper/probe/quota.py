"""Time what runs under a CPU quota: at full speed for a part of each period, stopped for the rest.

A low quantile would be the speed of the burst, and a plain mean over a few periods is off by the
part of a period it cuts. So means are taken over whole periods, from one stop to another. A suite
of short items would need seconds for each; there, one long look at the sentinel says which share
of the processor the process really gets, and each item needs only its CPU time.

No system call stands between the runs that are timed: kernels stop a process at the end of one.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.probe.measure import LEAST_RUNS, LOW, MOST_RUNS, TimedCall

STOP_S = 0.004
"""A run that took three times the usual and at least so much longer was stopped."""
CONTENDED = 0.9
"""With less than this part of the quota, others compete for the processor: the quota counts."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Some runs of an item: the mean CPU time of one, and the wall time of one never stopped."""

    cpu_s: float
    wall_s: float

    def long_run_s(self, allowed: float) -> float:
        """Seconds per run where `allowed` CPU seconds are to be had per second.

        That is the burst's own time where the item leaves a part of its share unused.
        """
        return max(self.wall_s, self.cpu_s / allowed)


def cores_allowed(sentinel: TimedCall, seconds: float, quota: float | None) -> float:
    """CPU seconds this process gets per second when it wants more than its quota."""
    spent_s, walls = time.process_time(), _walls_for(sentinel, seconds)
    cpu_s = (time.process_time() - spent_s) / len(walls)
    whole = whole_periods(walls)
    found = cpu_s * len(whole) / sum(whole)
    return quota if quota is not None and found < CONTENDED * quota else found


def mean_s(run: TimedCall, seconds: float) -> float:
    """Seconds per run over whole periods within about `seconds`."""
    return float(np.mean(whole_periods(_walls_for(run, seconds))))


def whole_periods(walls: Sequence[float]) -> Sequence[float]:
    """The runs after the first stop, up to and with the last; all, where there are no two."""
    usual_s = float(np.median(walls))
    longest_s = max(3 * usual_s, usual_s + STOP_S)
    stops = [i for i, each in enumerate(walls) if each > longest_s]
    return walls[stops[0] + 1 : stops[-1] + 1] if len(stops) > 1 else walls


def bursts(items: Mapping[str, TimedCall], rounds: int, seconds: float) -> dict[str, list[Burst]]:
    """Per item and round, runs that use about `seconds` of CPU time."""
    found: dict[str, list[Burst]] = {name: [] for name in items}
    for _ in range(rounds):
        for name, run in items.items():
            found[name].append(_burst(run, seconds))
    return found


def _burst(run: TimedCall, seconds: float) -> Burst:
    fastest_s = max(1e-9, min(_walls(run, LEAST_RUNS)))
    count = max(LEAST_RUNS, min(MOST_RUNS, math.ceil(seconds / fastest_s)))
    spent_s = time.process_time()
    walls = _walls(run, count)
    cpu_s = (time.process_time() - spent_s) / count
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
