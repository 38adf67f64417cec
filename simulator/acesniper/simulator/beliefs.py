"""What the scheduler believes that models take: the truth, the truth with an error, a prediction.

What of it changes with the tasks that finish is in `learning`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.choice import choose
from acesniper.predictor.tables.completion import complete
from acesniper.predictor.tables.families import device_group, folds
from acesniper.predictor.tables.imputation import filled
from acesniper.predictor.tables.prediction import predict
from acesniper.predictor.tables.split import split
from acesniper.predictor.tables.table import Table

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
        return np.asarray(complete(others, readings[columns][None], columns).middle[0])


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
    def parse(cls, text: str, k: int = 10, references: Sequence[str] = ()) -> "Predictor":
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

    def believes(self, table: Table, seed: int) -> LatencyEstimate:
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


def cross_fitted(table: Table, k: int, references: Sequence[str] = ()) -> LatencyEstimate:
    """Predict each device by a fit on other groups of devices, given its k readings.

    The readings themselves are believed as they are.
    """
    middle, low, high, readings = (np.full_like(table.log_ms, np.nan) for _ in range(4))
    others, of = [], np.zeros(len(table.devices), int)
    for number, fold in enumerate(folds([device_group(name) for name in table.devices])):
        named = references[:k] or _chosen(table, fold, k)
        new = {name for name, held_out in zip(table.devices, fold, strict=True) if held_out}
        cut = split(table, named, new, ())
        found = predict(cut)
        shown = np.isfinite(cut.known)
        for into, each in ((middle, found.middle), (low, found.low), (high, found.high)):
            into[fold] = np.where(shown, table.log_ms, each)[fold]
        readings[fold], of[fold] = cut.known[fold], number
        others.append(filled(table.log_ms[~fold]))
    return LatencyEstimate(middle, low, high, TransferFit(readings, tuple(others), of))


def _chosen(table: Table, fold: np.ndarray, k: int) -> list[str]:
    """The models to run on the devices of a fold, chosen by what the others took."""
    known = filled(table.log_ms[~fold])
    return [table.models[column] for column in choose(known, k)]


def _noisy(table: Table, error: float, seed: int) -> LatencyEstimate:
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
