"""Single runs on the clock, and what stands for several of them.

The kernel counts how often it takes the processor from a thread that wants to go on. A run during
which that happened measures the neighbours too; it is set aside as long as there are others.
"""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Workload = Callable[[], object]

LOW = 0.1
"""The quantile of a round that stands for it."""
LEAST_RUNS, MOST_RUNS = 2, 1000
"""Per item and round: one run alone would find cold caches."""
PATIENCE = 3.0
"""How many times its seconds an item may take in a round when its runs are interrupted."""


@dataclass(frozen=True, slots=True)
class TimedRun:
    """One run: its wall and CPU time in seconds (all threads), and whether it was interrupted."""

    wall_s: float
    cpu_s: float
    interrupted: bool


def samples(run: Workload, seconds: float) -> list[TimedRun]:
    """Runs that together take about `seconds`, or longer (to a limit) while all are interrupted."""
    found: list[TimedRun] = []
    clean_s = spent_s = 0.0
    while len(found) < MOST_RUNS:
        sample = timed(run)
        found.append(sample)
        spent_s += sample.wall_s
        clean_s += 0.0 if sample.interrupted else sample.wall_s
        enough = clean_s >= seconds or spent_s >= PATIENCE * seconds
        if enough and len(found) >= LEAST_RUNS:
            break
    return found


def timed(run: Workload) -> TimedRun:
    """Run once. The calls that cost something stand outside what the wall clock sees."""
    switches = involuntary_switches()
    cpu_s = time.process_time()
    start = time.perf_counter()
    run()
    wall_s = time.perf_counter() - start
    cpu_s = time.process_time() - cpu_s
    return TimedRun(wall_s, cpu_s, involuntary_switches() > switches)


def involuntary_switches() -> int:
    """How often the kernel took a processor from a thread of ours that wanted to go on."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def low_quantile_s(found: Sequence[TimedRun], *, alone: bool) -> float:
    """The seconds that stand for the runs of a round."""
    clean = [each.wall_s for each in found if not each.interrupted]
    others = [each.cpu_s if alone else each.wall_s for each in found]
    return float(np.quantile(clean or others, LOW))
