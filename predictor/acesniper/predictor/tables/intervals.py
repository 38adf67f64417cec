"""Half widths of intervals from past mistakes: split-conformal, with care for the worst device.

A score is a mistake over the deviation expected there. The pooled quantile covers the average
device; a device that is unlike the others needs more, so the quantile of a high share of devices
counts too (Vovk et al., "Algorithmic Learning in a Random World", 2005, on groups).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COVERED = 0.9
DEVICES = 0.8
"""The share of past devices, and of their groups, that an interval should have sufficed for."""

SHRINK = 20.0
"""How many scores the others' quantile weighs in a device's own."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores (devices, models); NaN where nothing was measured."""

    values: np.ndarray

    def pooled(self) -> float:
        """The quantile over all cells, with the correction for their number."""
        found = self.values[np.isfinite(self.values)]
        if not len(found):
            return 1.0
        return float(np.quantile(found, min(COVERED * (1 + 1 / len(found)), 1.0)))

    def each(self) -> np.ndarray:
        """The quantile of each device, drawn towards the pooled one; shape (devices,)."""
        pooled = self.pooled()
        found = []
        for row in self.values:
            own = row[np.isfinite(row)]
            quantile = float(np.quantile(own, COVERED)) if len(own) else pooled
            found.append((len(own) * quantile + SHRINK * pooled) / (len(own) + SHRINK))
        return np.array(found)


def margin(scores: Scores, groups: Sequence[str]) -> float:
    """The factor for a device that was never seen, of a group that was not either."""
    each = scores.each()
    worst = [np.quantile(each[np.array(groups) == name], DEVICES) for name in set(groups)]
    return max(scores.pooled(), float(np.quantile(worst, DEVICES, method="higher")))


def own_margin(scores: Scores) -> np.ndarray:
    """The factors for the devices of the scores themselves: (devices,)."""
    return np.asarray(np.maximum(scores.each(), scores.pooled()))
