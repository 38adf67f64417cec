"""What a platform still does after some seconds of load, and beside another busy process."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from acesniper.probe.contention import READY
from acesniper.probe.measure import TimedCall, TimedRun, timed_runs

NEIGHBOUR = (sys.executable, "-m", "acesniper.probe.contention")
TURN_S = 0.05
"""How long one item runs before the next has its turn."""
SUSTAINED_SHARE = 0.5
"""The share of the load that is over when sustained readings begin."""


def sustained(items: Mapping[str, TimedCall], heat_s: float, *, alone: bool) -> dict[str, float]:
    """The median seconds per run of each item in the later part of `heat_s` without a pause.

    Rounds came before, so that this is the end of a longer load. Interrupted runs do not count,
    or only by their CPU time where there are no others and one thread works `alone`.
    """
    for _ in _rotate(items, SUSTAINED_SHARE * heat_s):
        pass
    found: dict[str, float] = {}
    for name, runs in _collected(_rotate(items, (1 - SUSTAINED_SHARE) * heat_s)).items():
        clean = [each.wall_s for each in runs if not each.interrupted]
        times = clean or ([each.cpu_s for each in runs] if alone else [])
        if times:
            found[name] = float(np.median(times))
    return found


def with_busy_neighbour(items: Mapping[str, TimedCall], seconds: float) -> dict[str, float]:
    """The median seconds per run of each item while another process computes and moves memory.

    Empty where there is no such process to be had.
    """
    with _neighbour() as running:
        found = _collected(_rotate(items, seconds)) if running else {}
    return {name: float(np.median([r.wall_s for r in runs])) for name, runs in found.items()}


def _rotate(items: Mapping[str, TimedCall], seconds: float) -> Iterator[tuple[str, list[TimedRun]]]:
    spent_s = 0.0
    while spent_s < seconds and items:
        for name, run in items.items():
            runs = timed_runs(run, TURN_S)
            spent_s += sum(each.wall_s for each in runs)
            yield name, runs


def _collected(turns: Iterator[tuple[str, list[TimedRun]]]) -> dict[str, list[TimedRun]]:
    found: dict[str, list[TimedRun]] = {}
    for name, runs in turns:
        found.setdefault(name, []).extend(runs)
    return found


@contextmanager
def _neighbour() -> Iterator[bool]:
    """A busy process; whether it has begun to work."""
    with subprocess.Popen(NEIGHBOUR, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout is not None and process.stdout.readline().strip() == READY
        finally:
            process.kill()
