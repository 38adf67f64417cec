"""Time what runs under a CPU quota: at full speed for a part of each period, stopped for the rest.

A low quantile would be the speed of the burst, and a plain mean over a few periods is off by the
part of a period it cuts. So the mean is taken over whole periods, from one stop to another.
A suite of short items would need seconds for each; there, one long look at the sentinel says which
share of the processor the process really gets, and each item needs only its CPU time.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from acesniper.probe.sampling import MOST_RUNS, Run, Sample, low, timed

STOP_S = 0.004
"""A run that took three times the usual and at least so much longer was stopped."""


def cores_allowed(sentinel: Run, seconds: float) -> float:
    """CPU seconds this process gets per second when it wants more than it may have."""
    found = whole_periods(_for(sentinel, seconds))
    return sum(each.cpu_s for each in found) / sum(each.wall_s for each in found)


def mean_s(run: Run, seconds: float) -> float:
    """Seconds per run over whole periods within about `seconds`."""
    return float(np.mean([each.wall_s for each in whole_periods(_for(run, seconds))]))


def metered_s(runs: Sequence[Sample], allowed: float) -> float:
    """Seconds per run in the long run: what its CPU time takes at the rate allowed.

    Longer than that where the item leaves a part of its share unused.
    """
    burst_s = low(runs, alone=False)
    return max(burst_s, float(np.mean([each.cpu_s for each in runs])) / allowed)


def whole_periods(runs: Sequence[Sample]) -> Sequence[Sample]:
    """The runs after the first stop, up to and with the last; all, where there are no two."""
    usual_s = float(np.median([each.wall_s for each in runs]))
    longest_s = max(3 * usual_s, usual_s + STOP_S)
    stops = [i for i, each in enumerate(runs) if each.wall_s > longest_s]
    return runs[stops[0] + 1 : stops[-1] + 1] if len(stops) > 1 else runs


def interleaved(
    items: Mapping[str, Run], rounds: int, cpu_s: float
) -> dict[str, list[list[Sample]]]:
    """Per item and round, runs that together use `cpu_s` of CPU time."""
    found: dict[str, list[list[Sample]]] = {name: [] for name in items}
    for _ in range(rounds):
        for name, run in items.items():
            runs = [timed(run), timed(run)]
            while sum(each.cpu_s for each in runs) < cpu_s and len(runs) < MOST_RUNS:
                runs.append(timed(run))
            found[name].append(runs)
    return found


def _for(run: Run, seconds: float) -> list[Sample]:
    runs = [timed(run)]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        runs.append(timed(run))
    return runs
