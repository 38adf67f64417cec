"""P1: latencies of known models on a new device, from its readings of the references.

A device is described by x, its ln latencies of the references less their mean. Its ln latency of a
model, less the same mean, is a Gaussian process over devices: a linear kernel over x (ridge
regression) and a squared exponential (a smooth form of nearest devices). The mean of four settings
of weights is taken; the residual at the readings is carried to models with similar features.

The second estimate is a Gaussian over models: a mean, a covariance estimated from the known devices
and from features, and a free level. Readings have heavy-tailed noise, so that one that contradicts
the others counts less (Student's t by reweighting: Lange, Little and Taylor, JASA 1989). The result
is the mean of both. Gaps of known devices are filled by shrunk low-rank completion (soft-impute:
Mazumder, Hastie and Tibshirani, JMLR 2010).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.predictor.gaussian import conditional_variance, conditional_weights


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
    """`middle` (new devices, models), ln ms, and how wrong it may be.

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
    for member in ENSEMBLE:
        inner = _device_kernel(member, old, old) + member.noise * np.eye(len(old))
        outer = _device_kernel(member, new, old)
        weights = conditional_weights(inner, outer)
        total += weights.T @ (target - mean)
        prior = member.linear * (new**2).sum(axis=1) + member.nearness
        variance = conditional_variance(prior, outer, weights)
        strange += np.sqrt(1.0 + variance / member.noise)
    middle = new_level[:, None] + mean + total / len(ENSEMBLE)
    if alike is not None:
        middle = middle + _carry_residuals(readings - middle[:, columns], alike, columns)
    return np.asarray(middle), np.asarray(strange / len(ENSEMBLE))


def _carry_residuals(left: np.ndarray, alike: np.ndarray, columns: list[int]) -> np.ndarray:
    """What is left at the readings (devices, readings), carried to all models alike to them."""
    inner = alike[columns]
    noise = np.trace(inner) / len(columns) / SIGNAL_TO_NOISE
    return np.asarray(left @ conditional_weights(inner + noise * np.eye(len(columns)), alike))


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


RANK = 6
IMPUTE_SWEEPS = 30


def impute(log_ms: np.ndarray) -> np.ndarray:
    """The matrix (devices, models), ln ms, with every NaN replaced by an estimate."""
    gaps = np.isnan(log_ms)
    if not gaps.any():
        return log_ms
    start = _row_and_column_levels(log_ms)
    found = np.where(gaps, start, log_ms)
    for _ in range(IMPUTE_SWEEPS):
        mean = found.mean(axis=0)
        left, values, right = np.linalg.svd(found - mean, full_matrices=False)
        values = np.maximum(values - 0.5 * np.median(values), 0.0)
        values[RANK:] = 0.0
        found = np.where(gaps, (left * values) @ right + mean, log_ms)
    return np.asarray(found)


def _row_and_column_levels(log_ms: np.ndarray) -> np.ndarray:
    """A level per device plus a level per model, by alternating medians."""
    rows, columns = np.zeros(log_ms.shape[0]), np.zeros(log_ms.shape[1])
    for _ in range(10):
        columns = _median(log_ms - rows[:, None], 0)
        rows = _median(log_ms - columns, 1)
    return np.asarray(rows[:, None] + columns)


def _median(values: np.ndarray, axis: int) -> np.ndarray:
    """Medians without the gaps; where there are only gaps, the median of the other medians."""
    lines = values.T if axis == 0 else values
    found = [
        np.median(line[np.isfinite(line)]) if np.isfinite(line).any() else np.nan for line in lines
    ]
    medians = np.array(found)
    there = np.isfinite(medians)
    return np.where(there, medians, np.median(medians[there]) if there.any() else 0.0)


def choose_models(known: np.ndarray, count: int, taken: Collection[int] = ()) -> list[int]:
    """The columns of `known` (devices, models), without gaps, to run next, best first.

    `taken` are columns that were run already.
    """
    shape = known - known.mean(axis=1, keepdims=True)
    apart = shape - shape.mean(axis=0)
    left = apart.T @ apart / len(known) + LEVEL_VARIANCE
    for column in taken:
        left = _after_reading(left, column)
    chosen: list[int] = []
    for _ in range(min(count, known.shape[1] - len(taken))):
        gain = (left**2).sum(axis=0) / (np.diag(left) + READING_NOISE)
        gain[[*taken, *chosen]] = -np.inf
        chosen.append(int(gain.argmax()))
        left = _after_reading(left, chosen[-1])
    return chosen


def _after_reading(left: np.ndarray, column: int) -> np.ndarray:
    """The covariance once a reading of this column is known."""
    return np.asarray(
        left - np.outer(left[:, column], left[column]) / (left[column, column] + READING_NOISE)
    )
