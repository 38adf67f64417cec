"""Accuracy of predictions against measurements, in per cent."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class RankMeasure(Protocol):
    """How well two vectors agree in their order, from -1 to 1."""

    def __call__(self, first: np.ndarray, second: np.ndarray, /) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class PredictionOutcome:
    """Predictions and measurements, each of shape (devices, models), ln ms.

    `wanted` masks the cells that count; `low` and `high` bound the 90 % interval.
    """

    measured: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    wanted: np.ndarray

    def device(self, row: int) -> "PredictionOutcome":
        """The same for one device."""
        one = slice(row, row + 1)
        arrays = (self.measured, self.predicted, self.low, self.high, self.wanted)
        return PredictionOutcome(*(array[one] for array in arrays))


def accuracy(outcome: PredictionOutcome) -> dict[str, float]:
    """Every figure of these cells; NaN where there is nothing to judge by.

    `width90` is the high end of the interval over its low end, minus one, in the median.
    """
    at = outcome.wanted
    if not at.any():
        return {"cells": 0.0}
    true, guess = outcome.measured[at], outcome.predicted[at]
    error = np.abs(np.expm1(guess - true))
    inside = (outcome.low[at] <= true) & (true <= outcome.high[at])
    percent = {
        "mean": error.mean(),
        "median": np.median(error),
        "p90": np.quantile(error, 0.9),
        "within10": (error <= 0.1).mean(),
        "within20": (error <= 0.2).mean(),
        "spearman": by_device(outcome, spearman),
        "kendall": by_device(outcome, kendall),
        "regret": regret(outcome),
        "coverage90": inside.mean(),
        "width90": np.median(np.expm1(outcome.high[at] - outcome.low[at])),
    }
    return {"cells": float(at.sum()), **{name: 100 * float(v) for name, v in percent.items()}}


def by_device(outcome: PredictionOutcome, measure: RankMeasure) -> float:
    """The mean of a rank correlation over the devices that have it."""
    values = [
        measure(outcome.predicted[row, at], outcome.measured[row, at])
        for row, at in enumerate(outcome.wanted)
        if at.sum() > 1
    ]
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def regret(outcome: PredictionOutcome) -> float:
    """What the predicted-fastest device costs over the fastest, as a share, mean over the models.

    Models that were measured on one device leave no choice and do not count.
    """
    costs = []
    for column, at in enumerate(outcome.wanted.T):
        if at.sum() > 1:
            true = outcome.measured[at, column]
            chosen = true[np.argmin(outcome.predicted[at, column])]
            costs.append(np.expm1(chosen - true.min()))
    return float(np.mean(costs)) if costs else float("nan")


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[inverse])


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """The correlation of the ranks; NaN where either is constant."""
    one, two = ranks(first), ranks(second)
    one, two = one - one.mean(), two - two.mean()
    scale = np.sqrt((one @ one) * (two @ two))
    return float(one @ two / scale) if scale else float("nan")


def kendall(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's tau-b: pairs in the same order minus pairs in the other, ties left out."""
    together = ties_first = ties_second = 0.0
    for i in range(len(first) - 1):
        one = np.sign(first[i + 1 :] - first[i])
        two = np.sign(second[i + 1 :] - second[i])
        together += float(one @ two)
        ties_first += float(np.abs(one).sum())
        ties_second += float(np.abs(two).sum())
    scale = np.sqrt(ties_first * ties_second)
    return float(together / scale) if scale else float("nan")
