"""Half widths of intervals from past mistakes: split-conformal, with care for the worst device.

A score is a mistake over the deviation expected there. The pooled quantile covers the average
device; a device that is unlike the others needs more. How much more can be told: by how unlike the
known it is, and by how far its own readings are from what its other readings imply. A line through
the past devices' quantiles says what these two signs mean, and what it leaves unexplained is
allowed for, for a high share of devices (on coverage within groups: Vovk et al., "Algorithmic
Learning in a Random World", 2005).
"""

from dataclasses import dataclass

import numpy as np

TARGET_COVERAGE = 0.95
"""More than 90 %, as new models and devices are less like the known than these like each other."""

TARGET_DEVICES = 0.98
"""The share of past devices that an interval should have sufficed for."""

QUANTILE_SHRINKAGE = 10.0
"""How many scores the others' quantile weighs in a device's own."""

PRIOR_SLOPES = np.array([0.7, 0.3])
"""What is expected of the signs of a device before any was rehearsed: see `signs`."""

PRIOR_DEVICES = 10.0
"""How many devices, of signs one unit from the mean, the expected slopes are worth."""


@dataclass(frozen=True, slots=True, eq=False)
class ConformalScores:
    """Scores (devices, models); NaN where nothing was measured."""

    values: np.ndarray

    def pooled(self) -> float:
        """The quantile over all cells, with the correction for their number."""
        found = self.values[np.isfinite(self.values)]
        if not len(found):
            return 1.0
        return float(np.quantile(found, min(TARGET_COVERAGE * (1 + 1 / len(found)), 1.0)))

    def each(self) -> np.ndarray:
        """The quantile of each device, drawn towards the pooled one; shape (devices,)."""
        pooled = self.pooled()
        found = []
        for row in self.values:
            own = row[np.isfinite(row)]
            quantile = float(np.quantile(own, TARGET_COVERAGE)) if len(own) else pooled
            found.append(
                (len(own) * quantile + QUANTILE_SHRINKAGE * pooled)
                / (len(own) + QUANTILE_SHRINKAGE)
            )
        return np.array(found)


def device_signs(strange: np.ndarray, disagreement: np.ndarray) -> np.ndarray:
    """What tells before any mistake how wrong one will be on a device: (devices, 2)."""
    return np.asarray(np.log(np.stack([strange, np.maximum(disagreement, 1e-3)], axis=1)))


def new_device_margins(scores: ConformalScores, past: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The factors for devices that were never seen, of signs `new`: (new devices,).

    `past` are the signs of the devices of the scores, when they were rehearsed.
    """
    each = np.log(np.maximum(scores.each(), 1e-9))
    middle, centre = each.mean(), past.mean(axis=0)
    apart = past - centre
    left = each - middle - apart @ PRIOR_SLOPES
    slopes = PRIOR_SLOPES + np.linalg.solve(
        apart.T @ apart + PRIOR_DEVICES * np.eye(2), apart.T @ left
    )
    allowed = np.quantile(each - middle - apart @ slopes, TARGET_DEVICES, method="higher")
    return np.asarray(np.exp(middle + (new - centre) @ slopes + max(float(allowed), 0.0)))


def known_device_margins(scores: ConformalScores) -> np.ndarray:
    """The factors for the devices of the scores themselves: (devices,)."""
    return np.asarray(np.maximum(scores.each(), scores.pooled()))
