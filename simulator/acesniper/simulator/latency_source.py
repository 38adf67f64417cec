"""What the scheduler believes that models take: the truth, the truth with an error, a prediction.

What of it changes with the tasks that finish is in `learning`.
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
"""How many deviations from the middle the ends of a central 90 % interval lie."""


@dataclass(frozen=True, slots=True, eq=False)
class TransferFit:
    """What predicts a device anew from more readings of it.

    `shown` (devices, models) is what was known of each device before any task ran there, in ln ms;
    `others[of[row]]` are the devices (without gaps) that row's predictions are fitted to.
    """

    shown: np.ndarray
    others: tuple[np.ndarray, ...]
    of: np.ndarray

    def predict(self, row: int, readings: np.ndarray) -> np.ndarray:
        """All models of a device (models,), given readings that are NaN where there is none."""
        columns = np.flatnonzero(np.isfinite(readings)).tolist()
        others = self.others[int(self.of[row])]
        return np.asarray(transfer(others, readings[columns][None], columns).middle[0])


@dataclass(frozen=True, slots=True, eq=False)
class LatencyEstimate:
    """The middle and the ends of the 90 % interval of every cell of a table, in ln ms."""

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray
    fit: TransferFit | None = None


@dataclass(frozen=True, slots=True)
class LatencySource:
    """Where beliefs come from: `true`, `trained`, or `noise` of a mean relative error.

    A trained one is given `k` readings of each device: of the references, or of models that it
    chooses by the devices it is trained on.
    """

    kind: str = TRUE
    error: float = 0.0
    k: int = 10
    references: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, k: int = 10, references: Sequence[str] = ()) -> "LatencySource":
        """Read `true`, `trained` or `noise:0.11`.

        Raises:
            InvalidInput: it is none of these.
        """
        kind, _, error = text.partition(":")
        if text in (TRUE, TRAINED):
            return cls(text, 0.0, k, tuple(references))
        if kind == NOISE and (found := _share(error)) is not None:
            return cls(NOISE, found)
        raise InvalidInput(f"predictor {text!r} is none of true, trained, noise:0.11")

    def __str__(self) -> str:
        return f"{self.kind}:{self.error:g}" if self.kind == NOISE else self.kind

    def believes(self, table: MeasuredTable, seed: int) -> LatencyEstimate:
        """What it says of a table's cells; only an error depends on the seed."""
        if self.kind == TRAINED:
            return cross_fitted(table, self.k, self.references)
        if self.kind == NOISE:
            return _noisy(table, self.error, seed)
        return LatencyEstimate(table.log_ms, table.log_ms, table.log_ms)


def _share(text: str) -> float | None:
    """A number from 0 on, if it is one."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0.0 <= found < math.inf else None


def cross_fitted(table: MeasuredTable, k: int, references: Sequence[str] = ()) -> LatencyEstimate:
    """Predict each device by a fit on other groups of devices, given its k readings.

    The readings themselves are believed as they are.
    """
    middle, low, high, readings = (np.full_like(table.log_ms, np.nan) for _ in range(4))
    others, of = [], np.zeros(len(table.devices), int)
    for number, fold in enumerate(family_folds([device_group(name) for name in table.devices])):
        named = references[:k] or _chosen(table, fold, k)
        new = {name for name, held_out in zip(table.devices, fold, strict=True) if held_out}
        cut = split_table(table, named, new, ())
        found = predict_table(cut)
        shown = np.isfinite(cut.known)
        for into, each in ((middle, found.middle), (low, found.low), (high, found.high)):
            into[fold] = np.where(shown, table.log_ms, each)[fold]
        readings[fold], of[fold] = cut.known[fold], number
        others.append(impute(table.log_ms[~fold]))
    return LatencyEstimate(middle, low, high, TransferFit(readings, tuple(others), of))


def _chosen(table: MeasuredTable, fold: np.ndarray, k: int) -> list[str]:
    """The models to run on the devices of a fold, chosen by what the others took."""
    known = impute(table.log_ms[~fold])
    return [table.models[column] for column in choose_models(known, k)]


def _noisy(table: MeasuredTable, error: float, seed: int) -> LatencyEstimate:
    deviation = deviation_for(error)
    draw = np.random.default_rng([seed, 4])
    middle = table.log_ms + draw.normal(0.0, deviation, table.log_ms.shape)
    return LatencyEstimate(middle, middle - TAIL * deviation, middle + TAIL * deviation)


def deviation_for(error: float) -> float:
    """The deviation of a log-normal factor whose mean distance from 1 is `error`.

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
"""An observation this near to what is believed (log seconds) teaches nothing."""


def latency_rows(
    cluster: SimulatedCluster, belief: LatencyEstimate, source: str
) -> dict[ModelKey, PredictionRow]:
    """What is believed of the cluster's models, in seconds over its devices."""
    cells = np.ix_(cluster.rows, cluster.columns)
    spans = (belief.middle, belief.low, belief.high)
    middle, low, high = (np.exp(each[cells]) / 1e3 for each in spans)
    return {
        ModelKey(model): PredictionRow(middle[:, column], low[:, column], high[:, column], source)
        for column, model in enumerate(cluster.models)
    }


@dataclass(slots=True, eq=False)
class OnlineLearner:
    """Replaces rows of `believed` by what is learned in one run."""

    cluster: SimulatedCluster
    belief: LatencyEstimate
    believed: dict[ModelKey, PredictionRow]
    _seen: dict[int, np.ndarray] = field(default_factory=dict)
    """What is known of a device's models, by its place: ln ms, NaN where not measured."""

    def observe(self, device: int, model: int, latency_s: float) -> None:
        """Take note of a finished task's latency on a device of the cluster."""
        row = self.believed[ModelKey(self.cluster.models[model])]
        if abs(np.log(latency_s / row.latency_s[device])) < MIN_LOG_CHANGE:
            return
        self._believe(device, model, latency_s, 0.0)
        if self.belief.fit is None:
            return
        table_row = int(self.cluster.rows[device])
        seen = self._seen.setdefault(device, self.belief.fit.shown[table_row].copy())
        seen[self.cluster.columns[model]] = np.log(1e3 * latency_s)
        predicted = self.belief.fit.predict(table_row, seen)
        for place, column in enumerate(self.cluster.columns.tolist()):
            if np.isnan(seen[column]):
                margin = self.belief.high[table_row, column] - self.belief.middle[table_row, column]
                self._believe(device, place, float(np.exp(predicted[column]) / 1e3), float(margin))

    def _believe(self, device: int, model: int, latency_s: float, margin: float) -> None:
        """A new row, as plans may still hold the old one."""
        key = ModelKey(self.cluster.models[model])
        row = self.believed[key]
        spans = row.latency_s.copy(), row.low_s.copy(), row.high_s.copy()
        for values, sign in zip(spans, (0.0, -1.0, 1.0), strict=True):
            values[device] = latency_s * np.exp(sign * margin)
        self.believed[key] = PredictionRow(*spans, row.source)
