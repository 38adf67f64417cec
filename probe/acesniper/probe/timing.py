"""Time what runs on a noisy machine.

Rounds over all probes are interleaved, so that a slow second spoils one round of each probe and
not one probe whole. A round keeps a low quantile of its runs: noise only ever adds. A sentinel
runs before and after each round; when it moved, the round is repeated. Under a CPU quota the low
quantile would be the speed of a burst, so there it is the mean over several periods of the quota.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from acesniper.domain.device import Reading

Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: rounds, seconds per item and round, and the sentinel's tolerance.

    No round starts after `most_s`, whatever the noise: a busy device is measured badly, not long.
    """

    rounds: int = 4
    item_s: float = 0.03
    sentinel_tolerance: float = 0.05
    extra_rounds: int = 3
    throttled_item_s: float = 0.4
    most_s: float = 20.0


FULL = Effort()
QUICK = Effort(rounds=2, item_s=0.015, extra_rounds=1, throttled_item_s=0.3, most_s=4.0)
LOW = 0.1
"""The quantile of a round that stands for it."""


def measure(
    items: Mapping[str, Run],
    effort: Effort,
    *,
    sentinel: Run | None = None,
    throttled: bool = False,
) -> dict[str, Reading]:
    """A reading for each item, in seconds per run; each has run twice before it counts."""
    for run in items.values():
        run()
        run()
    if throttled:
        return {name: _mean(run, effort.throttled_item_s) for name, run in items.items()}
    rounds = list(_rounds(items, effort, sentinel))
    return {name: _reading([each[name] for each in rounds]) for name in items}


def _rounds(
    items: Mapping[str, Run], effort: Effort, sentinel: Run | None
) -> Iterator[dict[str, float]]:
    """The rounds that count: the quiet ones, or the quietest when there are too few."""
    tried: list[tuple[float, dict[str, float]]] = []
    end = time.perf_counter() + effort.most_s
    for _ in range(effort.rounds + effort.extra_rounds):
        before = _low(sentinel, effort.item_s) if sentinel else 1.0
        found = {name: _low(run, effort.item_s) for name, run in items.items()}
        after = _low(sentinel, effort.item_s) if sentinel else 1.0
        tried.append((abs(after / before - 1), found))
        quiet = sum(moved <= effort.sentinel_tolerance for moved, _ in tried)
        if quiet >= effort.rounds or time.perf_counter() > end:
            break
    tried.sort(key=lambda pair: pair[0])
    yield from (found for _, found in tried[: effort.rounds])


def _low(run: Run, seconds: float) -> float:
    return float(np.quantile(_times(run, seconds), LOW))


def _mean(run: Run, seconds: float) -> Reading:
    times = _times(run, seconds)
    return Reading(float(np.mean(times)), 0.0)


def _times(run: Run, seconds: float) -> list[float]:
    """The durations of runs that together take about `seconds`; at least one, at most 1000."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 1000:
        start = time.perf_counter()
        run()
        now = time.perf_counter()
        times.append(now - start)
        if now >= end:
            break
    return times


def _reading(values: list[float]) -> Reading:
    """The lower quartile of the rounds, for the same reason: another program's round only adds."""
    low, high = np.quantile(values, [0.25, 0.75])
    return Reading(float(low), float((high - low) / low) if low > 0 else 0.0)
