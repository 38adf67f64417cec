"""P1: what a new device takes for known models, from its readings of the references.

A device is described by x, its ln latencies of the references less their mean. Its ln latency of a
model, less the same mean, is a Gaussian process over devices: a linear kernel over x (which is
conditioning a joint Gaussian, or ridge regression) and a squared exponential (which is a smooth
form of taking the nearest devices). Four settings of their weights are averaged: none is best
everywhere. What the readings still have over it spreads to models with alike features. The mean of
this and of `conditioning`, which sees readings that contradict each other, is the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.predictor.tables.device_transfer import condition_devices


@dataclass(frozen=True, slots=True)
class KernelWeights:
    """Weights of the kernels; `length` in units of the mean distance of a device from the mean."""

    linear: float
    nearness: float
    length: float
    noise: float


ENSEMBLE = (
    KernelWeights(1.0, 0.0, 1.0, 0.03),
    KernelWeights(1.0, 0.3, 1.0, 0.03),
    KernelWeights(1.0, 1.0, 0.4, 0.01),
    KernelWeights(0.1, 1.0, 0.7, 0.01),
)
LEVEL_WEIGHT = 0.1
"""Weight of how fast a device is as a whole, next to the shape of its readings."""


SIGNAL_TO_NOISE = 3.0
"""How far what is left at a reading spreads, as a ratio of variances: signal to noise."""


@dataclass(frozen=True, slots=True, eq=False)
class TransferResult:
    """`middle` (new devices, models), ln ms, and what tells how wrong it may be.

    `strange` (new devices,) is the deviation the process expects, 1 for a device like the known;
    `disagreement` (new devices,) by how much a reading departs from what the others imply, ln ms.
    """

    middle: np.ndarray
    strange: np.ndarray
    disagreement: np.ndarray


def transfer(
    known: np.ndarray,
    readings: np.ndarray,
    references: Sequence[int],
    alike: np.ndarray | None = None,
) -> TransferResult:
    """What new devices take for every model.

    `known` (known devices, models) has no gaps. `readings` (new devices, references) are ln ms of
    the columns `references`; NaN where one was not taken. A device without any is taken for the
    median one. `alike` (models, references) is the covariance that the models' features expect.
    """
    found = np.tile(np.median(known, axis=0), (len(readings), 1))
    strange, disagreement = np.full(len(readings), 3.0), np.full(len(readings), 1.0)
    taken = np.isfinite(readings)
    for pattern in np.unique(taken, axis=0):
        rows = np.flatnonzero((taken == pattern).all(axis=1))
        if pattern.any():
            columns = [c for c, there in zip(references, pattern, strict=True) if there]
            shown = readings[np.ix_(rows, pattern)]
            near = None if alike is None else alike[:, pattern]
            given = condition_devices(known, shown, columns, near)
            smooth, strange[rows] = _ensemble_mean(known, given.cleaned, columns, near)
            found[rows] = (smooth + given.middle) / 2
            disagreement[rows] = given.disagreement
    return TransferResult(found, strange, disagreement)


def _ensemble_mean(
    known: np.ndarray, readings: np.ndarray, columns: list[int], alike: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The means of the members."""
    shown = known[:, columns]
    level, new_level = shown.mean(axis=1), readings.mean(axis=1)
    old, new = _device_vectors(shown, level, readings, new_level)
    target = known - level[:, None]
    mean = target.mean(axis=0)
    total, strange = np.zeros((len(readings), len(mean))), np.zeros(len(readings))
    for each in ENSEMBLE:
        inner = _device_kernel(each, old, old) + each.noise * np.eye(len(old))
        outer = _device_kernel(each, new, old)
        weights = np.linalg.solve(inner, outer.T)
        total += weights.T @ (target - mean)
        prior = each.linear * (new**2).sum(axis=1) + each.nearness
        variance = np.maximum(prior - (outer * weights.T).sum(axis=1), 0.0)
        strange += np.sqrt(1.0 + variance / each.noise)
    middle = new_level[:, None] + mean + total / len(ENSEMBLE)
    if alike is not None:
        middle = middle + _carry_residuals(readings - middle[:, columns], alike, columns)
    return np.asarray(middle), np.asarray(strange / len(ENSEMBLE))


def _carry_residuals(left: np.ndarray, alike: np.ndarray, columns: list[int]) -> np.ndarray:
    """What is left at the readings (devices, readings), carried to all models alike to them."""
    inner = alike[columns]
    noise = np.trace(inner) / len(columns) / SIGNAL_TO_NOISE
    return np.asarray(left @ np.linalg.solve(inner + noise * np.eye(len(columns)), alike.T))


def _device_vectors(
    shown: np.ndarray, level: np.ndarray, readings: np.ndarray, new_level: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the known and the new devices: shape over references, and level."""
    shape, new_shape = shown - level[:, None], readings - new_level[:, None]
    centre = shape.mean(axis=0)
    scale = np.sqrt(((shape - centre) ** 2).sum(axis=1).mean()) or 1.0
    middle = level.mean()
    old = np.c_[(shape - centre) / scale, LEVEL_WEIGHT * (level - middle)]
    new = np.c_[(new_shape - centre) / scale, LEVEL_WEIGHT * (new_level - middle)]
    return old, new


def _device_kernel(weights: KernelWeights, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    apart = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    near = np.exp(-apart / (2 * weights.length**2))
    return np.asarray(weights.linear * a @ b.T + weights.nearness * near)
