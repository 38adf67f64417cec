"""Time what runs on a noisy machine.

Rounds over all probes are interleaved, so that a slow second spoils one round of each probe and
not one probe whole. A round keeps a low quantile of the runs during which the kernel took the
processor from us at no time: noise only ever adds. Where every run was interrupted, the CPU time
of a single thread says what the run itself took. A sentinel runs before and after each round; a
round near which it was slower than at its best is thrown away and repeated.
"""

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from acesniper.domain.device import Reading
from acesniper.probe.measure import (
    TimedCall,
    bursts,
    cores_allowed,
    low_quantile_s,
    mean_s,
    timed_runs,
)


@dataclass(frozen=True, slots=True)
class ProbeEffort:
    """How long to measure: rounds, seconds per item and round, and the sentinel's tolerance.

    No round starts after `most_s`, whatever the noise: a busy device is measured badly, not long.
    Under a quota an item alone takes `throttled_item_s`, and the suite's sentinel `meter_s`.
    The sustained readings follow `heat_s` seconds of load, and a neighbour runs for `neighbour_s`;
    0 leaves these out.
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
    """A reading for each item, in seconds per run; each has run twice before it counts.

    `alone` says that one thread on the processor does all the work, so that CPU time counts.
    `throttled` says that a quota (in cores, where it is known) stops the process now and then:
    there the mean counts.
    """
    for run in items.values():
        run()
        run()
    with _no_collection():
        if not throttled:
            rounds = list(_rounds(items, effort, sentinel, alone))
            return {name: reading([each[name] for each in rounds]) for name in items}
        if sentinel is None:
            means = {name: mean_s(run, effort.throttled_item_s) for name, run in items.items()}
            return {name: Reading(each, 0.0) for name, each in means.items()}
        allowed = cores_allowed(sentinel, effort.meter_s, quota)
        found = bursts(items, (effort.rounds + 1) // 2, effort.item_s)
    return {
        name: reading([each.long_run_s(allowed) for each in runs]) for name, runs in found.items()
    }


def _rounds(
    items: Mapping[str, TimedCall], effort: ProbeEffort, sentinel: TimedCall | None, alone: bool
) -> Iterator[dict[str, float]]:
    """The rounds that count: the quiet ones, or the quietest when there are too few."""

    def watch() -> float:
        return low_quantile_s(timed_runs(sentinel, effort.item_s), alone=alone) if sentinel else 1.0

    tried: list[tuple[float, dict[str, float]]] = []
    end = time.perf_counter() + effort.most_s
    before = best = watch()
    for _ in range(effort.rounds + effort.extra_rounds):
        found = {
            name: low_quantile_s(timed_runs(run, effort.item_s), alone=alone)
            for name, run in items.items()
        }
        after = watch()
        tried.append((max(before, after), found))
        before, best = after, min(best, after)
        quiet = sum(slowest <= best * (1 + effort.sentinel_tolerance) for slowest, _ in tried)
        if quiet >= effort.rounds or time.perf_counter() > end:
            break
    tried.sort(key=lambda pair: pair[0])
    yield from (found for _, found in tried[: effort.rounds])


def reading(values: Sequence[float]) -> Reading:
    """The lower quartile of the rounds: another program's round only adds."""
    quarter, half, most = np.quantile(values, [0.25, 0.5, 0.75])
    return Reading(float(quarter), float((most - quarter) / half) if half > 0 else 0.0)


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection while something is timed."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
