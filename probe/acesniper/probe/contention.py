"""Measurement under sustained load and next to a busy neighbour process.

`python -m acesniper.probe.contention` is the busy neighbour: it spends half its time in matrix
products and half in copies larger than the caches. It is a separate process, so that it shares no
interpreter lock with the measurement, and it ends with its parent.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from acesniper.probe.measure import TimedCall, TimedRun, timed_runs

TURN_S = 0.05
"""Time that one item runs before the next one."""
SUSTAINED_SHARE = 0.5
"""Share of the load that has passed when sustained readings begin."""

NEIGHBOUR = (sys.executable, "-m", "acesniper.probe.contention")
NEIGHBOUR_ENVIRONMENT = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
"""Read by numpy when it is imported: the neighbour keeps one core busy."""
READY = "busy"
"""Printed by the neighbour once it starts to work."""
MATRIX_SIDE = 256
COPY_BYTES = 32 << 20
WORK_S = 0.01
"""Time that the neighbour spends on one kind of work before the other."""


def sustained(items: Mapping[str, TimedCall], heat_s: float, *, alone: bool) -> dict[str, float]:
    """Median seconds per run of each item in the later part of `heat_s` seconds without a pause.

    Rounds of measurement come before, so that this is the end of a longer load. Interrupted runs
    do not count, except by their CPU time if there are no others and one thread works `alone`.
    """
    for _ in _rotate(items, SUSTAINED_SHARE * heat_s):
        pass
    medians: dict[str, float] = {}
    for name, runs in _collected(_rotate(items, (1 - SUSTAINED_SHARE) * heat_s)).items():
        clean = [run.wall_s for run in runs if not run.interrupted]
        seconds = clean or ([run.cpu_s for run in runs] if alone else [])
        if seconds:
            medians[name] = float(np.median(seconds))
    return medians


def with_busy_neighbour(
    items: Mapping[str, TimedCall], seconds: float, neighbour: Sequence[str] = NEIGHBOUR
) -> dict[str, float]:
    """Median seconds per run of each item while another process computes and moves memory.

    Empty if that process cannot be started.
    """
    with _neighbour(neighbour) as running:
        runs_by_item = _collected(_rotate(items, seconds)) if running else {}
    return {
        name: float(np.median([run.wall_s for run in runs])) for name, runs in runs_by_item.items()
    }


def _rotate(items: Mapping[str, TimedCall], seconds: float) -> Iterator[tuple[str, list[TimedRun]]]:
    spent_s = 0.0
    while spent_s < seconds and items:
        for name, item in items.items():
            runs = timed_runs(item, TURN_S)
            spent_s += sum(run.wall_s for run in runs)
            yield name, runs


def _collected(turns: Iterator[tuple[str, list[TimedRun]]]) -> dict[str, list[TimedRun]]:
    runs_by_item: dict[str, list[TimedRun]] = {}
    for name, runs in turns:
        runs_by_item.setdefault(name, []).extend(runs)
    return runs_by_item


@contextmanager
def _neighbour(command: Sequence[str]) -> Iterator[bool]:
    """Run a busy process; yields whether it has started to work."""
    environment = {**os.environ, **NEIGHBOUR_ENVIRONMENT}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process.stdout is not None and process.stdout.readline().strip() == READY
        finally:
            process.kill()


def main() -> None:
    """Keep one core busy until the parent process ends."""
    left = np.ones((MATRIX_SIDE, MATRIX_SIDE), np.float32)
    product = np.empty_like(left)
    source, target = np.ones(COPY_BYTES, np.uint8), np.zeros(COPY_BYTES, np.uint8)
    parent = os.getppid()
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        _repeat_for_work_s(lambda: np.matmul(left, left, out=product))
        _repeat_for_work_s(lambda: np.copyto(target, source))


def _repeat_for_work_s(work: Callable[[], object]) -> None:
    end = time.perf_counter() + WORK_S
    while time.perf_counter() < end:
        work()


if __name__ == "__main__":
    main()
