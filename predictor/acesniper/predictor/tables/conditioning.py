"""How models vary together over known devices, and what readings of a few say of the others.

The ln latencies of a device are a Gaussian: a mean, a covariance over models estimated from the
known devices plus some of what the models' features expect, and a level that is free. Readings have
heavy-tailed noise: one that contradicts the others counts less (Student's t by reweighting: Lange,
Little and Taylor, JASA 1989).
"""

from dataclasses import dataclass

import numpy as np

LEVEL_VARIANCE = 100.0
"""Variance of the level, ln ms squared: so large that readings alone say how fast a device is."""

FEATURE_SHARE = 0.03
"""How much of the covariance that features expect is added to what devices show."""

READING_NOISE = 0.002
DEGREES_OF_FREEDOM = 3.0
"""Degrees of freedom of the noise."""

REWEIGHTINGS = 3


@dataclass(frozen=True, slots=True, eq=False)
class ConditionedDevices:
    """What follows for each new device.

    `middle` (devices, models) and `cleaned` (devices, readings) are ln ms: a reading that
    contradicts the others is drawn to what they imply. `disagreement` (devices,) is by how much a
    reading departs from what the others imply, in the mean.
    """

    middle: np.ndarray
    cleaned: np.ndarray
    disagreement: np.ndarray


def model_covariance(
    known: np.ndarray, columns: list[int], alike: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The mean (models,), less the level, and the covariance with the columns (models, columns)."""
    shape = known - known[:, columns].mean(axis=1)[:, None]
    mean = shape.mean(axis=0)
    apart = shape - mean
    found = apart.T @ apart[:, columns] / len(known) + LEVEL_VARIANCE
    return mean, found if alike is None else found + FEATURE_SHARE * alike


def condition_devices(
    known: np.ndarray, readings: np.ndarray, columns: list[int], alike: np.ndarray | None = None
) -> ConditionedDevices:
    """Condition on readings (devices, columns), none of them missing.

    `known` is (known devices, models) without gaps, `alike` the covariance (models, columns) that
    the models' features expect.
    """
    mean, outer = model_covariance(known, columns, alike)
    inner = outer[columns]
    level = readings.mean(axis=1)
    apart = readings - level[:, None] - mean[columns]
    weights = np.ones_like(apart)
    for _ in range(REWEIGHTINGS):
        noise = READING_NOISE / weights
        precision = np.linalg.inv(inner[None] + noise[:, :, None] * np.eye(len(columns)))
        own = np.einsum("dii->di", precision)
        explained = np.einsum("dij,dj->di", precision, apart)
        alone = explained / own  # the reading less what the others imply
        variance = np.maximum(1.0 / own - noise, 0.0) + READING_NOISE
        weights = np.minimum(
            (DEGREES_OF_FREEDOM + 1) / (DEGREES_OF_FREEDOM + alone**2 / variance), 1.0
        )
    smooth = level[:, None] + mean[columns] + explained @ inner
    cleaned = weights * readings + (1.0 - weights) * smooth
    middle = level[:, None] + mean + explained @ outer.T
    return ConditionedDevices(middle, cleaned, np.abs(alone).mean(axis=1))
