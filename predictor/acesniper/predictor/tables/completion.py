"""P1: what a new device takes for known models, from its readings of the references.

A device is described by x, its ln latencies of the references less their mean. Its ln latency of a
model, less the same mean, is a Gaussian process over devices: a linear kernel over x (which is
conditioning a joint Gaussian, or ridge regression), a squared exponential (which is a smooth form
of taking the nearest devices), and one over the parts of the device's name (unit, precision,
runtime). Four settings of their weights are averaged: none is best everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.predictor.tables.table import JOIN


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the kernels; `length` in units of the mean distance of a device from the mean."""

    linear: float
    nearness: float
    length: float
    noise: float
    names: float


MEMBERS = (
    Weights(1.0, 0.0, 1.0, 0.03, 0.0),
    Weights(1.0, 0.3, 1.0, 0.03, 0.0),
    Weights(1.0, 1.0, 0.4, 0.01, 0.05),
    Weights(0.1, 1.0, 0.7, 0.01, 0.05),
)
LEVEL = 0.1
"""Weight of how fast a device is as a whole, next to the shape of its readings."""


@dataclass(frozen=True, slots=True, eq=False)
class Devices:
    """Names and ln ms (devices, models) of known devices, without gaps."""

    names: tuple[str, ...]
    log_ms: np.ndarray


def complete(
    known: Devices, names: Sequence[str], readings: np.ndarray, references: Sequence[int]
) -> np.ndarray:
    """Latencies, ln ms (new devices, models) of new devices.

    `readings` (new devices, references) are their ln ms of the columns `references`; NaN where one
    was not taken. A device without any is taken for the median one.
    """
    found = np.tile(np.median(known.log_ms, axis=0), (len(names), 1))
    taken = np.isfinite(readings)
    for pattern in np.unique(taken, axis=0):
        rows = np.flatnonzero((taken == pattern).all(axis=1))
        if pattern.any():
            columns = [c for c, there in zip(references, pattern, strict=True) if there]
            picked = [names[int(row)] for row in rows]
            found[rows] = _conditioned(known, picked, readings[np.ix_(rows, pattern)], columns)
    return found


def _conditioned(
    known: Devices, names: Sequence[str], readings: np.ndarray, columns: list[int]
) -> np.ndarray:
    """The mean of the members."""
    shown = known.log_ms[:, columns]
    level, new_level = shown.mean(axis=1), readings.mean(axis=1)
    old, new = _described(shown, level, readings, new_level)
    target = known.log_ms - level[:, None]
    mean = target.mean(axis=0)
    alike = shared_parts(known.names, known.names), shared_parts(names, known.names)
    total = np.zeros((len(names), known.log_ms.shape[1]))
    for weights in MEMBERS:
        inner = _kernel(weights, old, old, alike[0]) + weights.noise * np.eye(len(old))
        outer = _kernel(weights, new, old, alike[1])
        total += outer @ np.linalg.solve(inner, target - mean)
    return np.asarray(new_level[:, None] + mean + total / len(MEMBERS))


def _described(
    shown: np.ndarray, level: np.ndarray, readings: np.ndarray, new_level: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the known and the new devices: shape over references, and level."""
    shape, new_shape = shown - level[:, None], readings - new_level[:, None]
    centre = shape.mean(axis=0)
    scale = np.sqrt(((shape - centre) ** 2).sum(axis=1).mean()) or 1.0
    middle = level.mean()
    old = np.c_[(shape - centre) / scale, LEVEL * (level - middle)]
    new = np.c_[(new_shape - centre) / scale, LEVEL * (new_level - middle)]
    return old, new


def _kernel(weights: Weights, a: np.ndarray, b: np.ndarray, alike: np.ndarray) -> np.ndarray:
    apart = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    near = np.exp(-apart / (2 * weights.length**2))
    return np.asarray(weights.linear * a @ b.T + weights.nearness * near + weights.names * alike)


def shared_parts(first: Sequence[str], second: Sequence[str]) -> np.ndarray:
    """The share of equal parts after the first of names joined by `|`; (first, second)."""
    one, two = ([name.split(JOIN)[1:] for name in names] for names in (first, second))
    rows = [[_share(a, b) for b in two] for a in one]
    return np.array(rows).reshape(len(one), len(two))


def _share(a: Sequence[str], b: Sequence[str]) -> float:
    return sum(x == y for x, y in zip(a, b, strict=False)) / max(len(a), len(b), 1)
