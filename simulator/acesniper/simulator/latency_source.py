"""Latencies that the simulated scheduler plans with: true, noisy or predicted, and online learning.

With online learning, the latency of a finished task replaces that of its model on its device. A
predictor fitted to other devices also updates its predictions of the device's other models.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from acesniper.domain.errors import InvalidInput
from acesniper.domain.task import ModelKey
from acesniper.policies.estimates import PredictionRow
from acesniper.predictor.tables.device_transfer import choose_models, impute, transfer
from acesniper.predictor.tables.measurements import (
    MeasuredTable,
    device_group,
    family_folds,
    split_table,
)
from acesniper.predictor.tables.predict import predict_table
from acesniper.simulator.cluster import SimulatedCluster

TRUE, TRAINED, NOISE = "true", "trained", "noise"
TAIL = 1.645
"""Standard deviations from the median to the ends of a central 90 % interval."""


@dataclass(frozen=True, slots=True, eq=False)
class TransferFit:
    """Predicts a device from its readings and the latencies of other devices.

    `shown` (devices, models) are the readings of each device before any task, in ln ms;
    `others[of[row]]` are the devices (without gaps) that the predictions of a row are fitted to.
    """

    shown: np.ndarray
    others: tuple[np.ndarray, ...]
    of: np.ndarray

    def predict(self, row: int, readings: np.ndarray) -> np.ndarray:
        """Latencies of all models on a device, shape (models,); missing readings are NaN."""
        columns = np.flatnonzero(np.isfinite(readings)).tolist()
        others = self.others[int(self.of[row])]
        return np.asarray(transfer(others, readings[columns][None], columns).middle[0])


@dataclass(frozen=True, slots=True, eq=False)
class LatencyEstimate:
    """Median and ends of the 90 % interval of every cell of a table, in ln ms."""

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray
    fit: TransferFit | None = None


@dataclass(frozen=True, slots=True)
class LatencySource:
    """Source of latencies: `true`, `trained`, or `noise` with a mean relative error.

    A trained source has `k` readings of each device: of the references, or of models selected on
    the devices it is trained on.
    """

    kind: str = TRUE
    error: float = 0.0
    k: int = 10
    references: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, k: int = 10, references: Sequence[str] = ()) -> "LatencySource":
        """Read `true`, `trained` or `noise:0.11`.

        Raises:
            InvalidInput: the text is invalid.
        """
        kind, _, error = text.partition(":")
        if text in (TRUE, TRAINED):
            return cls(text, 0.0, k, tuple(references))
        if kind == NOISE and (share := _share(error)) is not None:
            return cls(NOISE, share)
        raise InvalidInput(f"predictor {text!r} is unknown; use true, trained or noise:0.11")

    def __str__(self) -> str:
        return f"{self.kind}:{self.error:g}" if self.kind == NOISE else self.kind

    def estimate(self, table: MeasuredTable, seed: int) -> LatencyEstimate:
        """Estimates of all cells of a table; the seed affects only noise."""
        if self.kind == TRAINED:
            return cross_fitted(table, self.k, self.references)
        if self.kind == NOISE:
            return _noisy(table, self.error, seed)
        return LatencyEstimate(table.log_ms, table.log_ms, table.log_ms)


def _share(text: str) -> float | None:
    """A non-negative finite number, or None."""
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0.0 <= share < math.inf else None


def cross_fitted(table: MeasuredTable, k: int, references: Sequence[str] = ()) -> LatencyEstimate:
    """Predict each device by a fit on other groups of devices, given its k readings.

    The readings themselves are used unchanged.
    """
    middle, low, high, readings = (np.full_like(table.log_ms, np.nan) for _ in range(4))
    others, of = [], np.zeros(len(table.devices), int)
    for number, fold in enumerate(family_folds([device_group(name) for name in table.devices])):
        named = references[:k] or _chosen(table, fold, k)
        new = {name for name, held_out in zip(table.devices, fold, strict=True) if held_out}
        cut = split_table(table, named, new, ())
        predicted = predict_table(cut)
        shown = np.isfinite(cut.known)
        for target, values in (
            (middle, predicted.middle),
            (low, predicted.low),
            (high, predicted.high),
        ):
            target[fold] = np.where(shown, table.log_ms, values)[fold]
        readings[fold], of[fold] = cut.known[fold], number
        others.append(impute(table.log_ms[~fold]))
    return LatencyEstimate(middle, low, high, TransferFit(readings, tuple(others), of))


def _chosen(table: MeasuredTable, fold: np.ndarray, k: int) -> list[str]:
    """The models to run on the devices of a fold, selected on the other devices."""
    latencies = impute(table.log_ms[~fold])
    return [table.models[column] for column in choose_models(latencies, k)]


def _noisy(table: MeasuredTable, error: float, seed: int) -> LatencyEstimate:
    deviation = deviation_for(error)
    draw = np.random.default_rng([seed, 4])
    middle = table.log_ms + draw.normal(0.0, deviation, table.log_ms.shape)
    return LatencyEstimate(middle, middle - TAIL * deviation, middle + TAIL * deviation)


def deviation_for(error: float) -> float:
    """Standard deviation of a log-normal factor whose mean absolute error is `error`.

    That distance is exp(s^2/2) erf(s/sqrt 2), which grows with s.
    """
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        if math.exp(middle**2 / 2) * math.erf(middle / math.sqrt(2)) < error:
            low = middle
        else:
            high = middle
    return high


MIN_LOG_CHANGE = 1e-3
"""Observations closer than this to the estimate (log seconds) are ignored."""


def latency_rows(
    cluster: SimulatedCluster, estimate: LatencyEstimate, source: str
) -> dict[ModelKey, PredictionRow]:
    """Estimated latencies of the cluster's models, in seconds over its devices."""
    cells = np.ix_(cluster.rows, cluster.columns)
    spans = (estimate.middle, estimate.low, estimate.high)
    middle, low, high = (np.exp(values[cells]) / 1e3 for values in spans)
    return {
        ModelKey(model): PredictionRow(middle[:, column], low[:, column], high[:, column], source)
        for column, model in enumerate(cluster.models)
    }


@dataclass(slots=True, eq=False)
class OnlineLearner:
    """Updates `estimates` from the tasks observed during a run."""

    cluster: SimulatedCluster
    initial: LatencyEstimate
    estimates: dict[ModelKey, PredictionRow]
    _seen: dict[int, np.ndarray] = field(default_factory=dict)
    """Readings of each device by its index: ln ms, NaN where missing."""

    def observe(self, device: int, model: int, latency_s: float) -> None:
        """Learn the latency of a finished task on a device of the cluster."""
        row = self.estimates[ModelKey(self.cluster.models[model])]
        if abs(np.log(latency_s / row.latency_s[device])) < MIN_LOG_CHANGE:
            return
        self._replace(device, model, latency_s, 0.0)
        if self.initial.fit is None:
            return
        table_row = int(self.cluster.rows[device])
        seen = self._seen.setdefault(device, self.initial.fit.shown[table_row].copy())
        seen[self.cluster.columns[model]] = np.log(1e3 * latency_s)
        predicted = self.initial.fit.predict(table_row, seen)
        for place, column in enumerate(self.cluster.columns.tolist()):
            if np.isnan(seen[column]):
                margin = (
                    self.initial.high[table_row, column] - self.initial.middle[table_row, column]
                )
                self._replace(device, place, float(np.exp(predicted[column]) / 1e3), float(margin))

    def _replace(self, device: int, model: int, latency_s: float, margin: float) -> None:
        """Create a new row, as plans may still use the old one."""
        key = ModelKey(self.cluster.models[model])
        row = self.estimates[key]
        spans = row.latency_s.copy(), row.low_s.copy(), row.high_s.copy()
        for values, sign in zip(spans, (0.0, -1.0, 1.0), strict=True):
            values[device] = latency_s * np.exp(sign * margin)
        self.estimates[key] = PredictionRow(*spans, row.source)
