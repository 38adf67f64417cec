"""How wide intervals have to be on one device, by whether its tasks ended inside theirs.

Adaptive conformal inference (Gibbs and Candès, 2021) on the width itself: a task outside widens
it, one inside narrows it a little, so that in the long run the promised share ends inside, whatever
the device does. A device whose latencies scatter more than others' soon gets wider intervals.
"""

from collections.abc import Iterable
from math import exp

TARGET_COVERAGE = 0.9
"""The share of tasks that is to end inside."""
LEARNING_RATE = 0.2
"""A miss widens by `exp(0.9 PACE)` (20 %), a hit narrows by `exp(0.1 PACE)` (2 %)."""
NARROWEST, WIDEST = 0.5, 4.0


def adapted_factor(factor: float, missed: Iterable[bool]) -> float:
    """The factor on the widths of a device's intervals after these tasks."""
    for each in missed:
        step = TARGET_COVERAGE if each else TARGET_COVERAGE - 1.0
        factor = min(max(factor * exp(LEARNING_RATE * step), NARROWEST), WIDEST)
    return factor
