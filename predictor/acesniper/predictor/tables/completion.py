"""P1: what a new device takes for known models, from its readings of the references.

A device is described by x, its ln latencies of the references less their mean. Its ln latency of a
model, less the same mean, is a Gaussian process over devices: a linear kernel over x (which is
conditioning a joint Gaussian, or ridge regression), a squared exponential (which is a smooth form
of taking the nearest devices), and one over the parts of the device's name (unit, precision,
runtime). Four settings of their weights are averaged: none is best everywhere.
"""

from collections.abc import Callable, Sequence
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


MEMBERS = (
    Weights(1.0, 0.0, 1.0, 0.03),
    Weights(1.0, 0.3, 1.0, 0.03),
    Weights(1.0, 1.0, 0.4, 0.01),
    Weights(0.1, 1.0, 0.7, 0.01),
)
LEVEL = 0.1
"""Weight of how fast a device is as a whole, next to the shape of its readings."""


Bonds = tuple[float, ...]
"""For each part of a device's name after the first: what a device that differs in it is worth."""

BONDS = (0.7, 0.4, 0.1)
"""Values tried for a bond besides 1, in this order."""


@dataclass(frozen=True, slots=True, eq=False)
class Devices:
    """Names and ln ms (devices, models) of known devices, without gaps."""

    names: tuple[str, ...]
    log_ms: np.ndarray


def complete(
    known: Devices,
    names: Sequence[str],
    readings: np.ndarray,
    references: Sequence[int],
    bonds: Bonds = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Latencies, ln ms (new devices, models), and how unlike the known each new device is.

    `readings` (new devices, references) are their ln ms of the columns `references`; NaN where one
    was not taken. A device without any is taken for the median one. The second array (new devices,)
    is the deviation the process expects, in units of its noise: 1 for a device like the known.
    """
    found = np.tile(np.median(known.log_ms, axis=0), (len(names), 1))
    strange = np.full(len(names), 3.0)
    taken = np.isfinite(readings)
    for pattern in np.unique(taken, axis=0):
        rows = np.flatnonzero((taken == pattern).all(axis=1))
        if pattern.any():
            columns = [c for c, there in zip(references, pattern, strict=True) if there]
            alike = (
                shared_parts(known.names, known.names, bonds),
                shared_parts([names[int(row)] for row in rows], known.names, bonds),
            )
            shown = readings[np.ix_(rows, pattern)]
            found[rows], strange[rows] = _conditioned(known, shown, columns, alike)
    return found, strange


def _conditioned(
    known: Devices,
    readings: np.ndarray,
    columns: list[int],
    alike: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """The means of the members."""
    shown = known.log_ms[:, columns]
    level, new_level = shown.mean(axis=1), readings.mean(axis=1)
    old, new = _described(shown, level, readings, new_level)
    target = known.log_ms - level[:, None]
    mean = target.mean(axis=0)
    total, strange = np.zeros((len(readings), len(mean))), np.zeros(len(readings))
    for each in MEMBERS:
        inner = _kernel(each, old, old) * alike[0] + each.noise * np.eye(len(old))
        outer = _kernel(each, new, old) * alike[1]
        weights = np.linalg.solve(inner, outer.T)
        total += weights.T @ (target - mean)
        prior = each.linear * (new**2).sum(axis=1) + each.nearness
        variance = np.maximum(prior - (outer * weights.T).sum(axis=1), 0.0)
        strange += np.sqrt(1.0 + variance / each.noise)
    middle = new_level[:, None] + mean + total / len(MEMBERS)
    return np.asarray(middle), np.asarray(strange / len(MEMBERS))


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


def _kernel(weights: Weights, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    apart = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    near = np.exp(-apart / (2 * weights.length**2))
    return np.asarray(weights.linear * a @ b.T + weights.nearness * near)


def shared_parts(first: Sequence[str], second: Sequence[str], bonds: Bonds) -> np.ndarray:
    """The product of the bonds of all parts that differ; shape (first, second)."""
    total = np.ones((len(first), len(second)))
    for at, bond in enumerate(bonds, start=1):
        one, two = (np.array([_part(name, at) for name in names]) for names in (first, second))
        total = total * np.where(one[:, None] == two[None], 1.0, bond)
    return total


def learned_bonds(count: int, error: Callable[[Bonds], float]) -> Bonds:
    """The bonds of `count` parts with the least error, one part after the other."""
    bonds: Bonds = (1.0,) * count
    least = error(bonds)
    for at in range(count):
        for bond in BONDS:
            tried = (*bonds[:at], bond, *bonds[at + 1 :])
            found = error(tried)
            if found < least:
                bonds, least = tried, found
    return bonds


def _part(name: str, at: int) -> str:
    parts = name.split(JOIN)
    return parts[at].strip() if at < len(parts) else ""
