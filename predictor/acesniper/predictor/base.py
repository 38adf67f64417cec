"""What every predictor offers: one protocol, tables of latencies, and observations.

Tables hold seconds of one inference with shape (models, devices). Observations are latencies of
models that ran on a device. `corrected_table` applies them for predictors that do not learn from
observations themselves. This module imports no other module of the predictor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import NamedTuple, Protocol

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import MAX_LATENCY_S, MIN_LATENCY_S, Explanation, Prediction

MAX_SPREAD = 10.0
"""Log seconds to either side of a latency: a factor of 20,000 says nothing any more, and half
precision can still hold it."""

PRIOR_SHIFT = 0.2
"""Deviation (log seconds) of the change of a device since its probe: other software, other memory
traffic, another temperature."""
DRIFTED_SHIFT = 1.0
"""The same for a device with latency drift."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One inference of a model took `latency_s` on the device whose list this is in.

    The model is identified by the digest of its features, whichever object holds them. `variance`
    (log seconds, squared) is added to the noise found in training, for an uncertain measurement.
    `shift` is the deviation (log seconds) of a change common to all models since the device was
    probed; the largest of a device's observations counts.
    """

    model: ModelFeatures
    latency_s: float
    variance: float = 0.0
    shift: float = PRIOR_SHIFT

    @property
    def model_key(self) -> str:
        """The digest of the model's features."""
        return self.model.digest


Observations = Sequence[Sequence[Observation]]
"""For each device of a call what ran there, oldest first; empty: nothing on any device."""


class LatencyArrays(NamedTuple):
    """Latencies of one inference in seconds, arrays of shape (models, devices); NaN: unknown.

    A central 90 % interval reaches by `spread` (log seconds) to either side.
    """

    latency: np.ndarray
    spread: np.ndarray

    def sound(self) -> "LatencyArrays":
        """What can be reckoned with: unknown where readings out of this world lead to others.

        Plans add these numbers up; a single NaN or infinity would invalidate the sums.
        """
        latency, spread = self
        sound = (latency >= MIN_LATENCY_S) & (latency <= MAX_LATENCY_S) & ~np.isnan(spread)
        return LatencyArrays(
            np.where(sound, latency, np.nan),
            np.where(sound, np.minimum(spread, MAX_SPREAD), np.nan),
        )

    @property
    def low(self) -> np.ndarray:
        """Where the interval begins."""
        return np.asarray(self.latency * np.exp(-self.spread))

    @property
    def high(self) -> np.ndarray:
        """Where the interval ends."""
        return np.asarray(self.latency * np.exp(self.spread))

    def predictions(self, source: str) -> list[list[Prediction | None]]:
        """Row by row as domain objects, None where unknown."""
        sound = self.sound()
        cells = np.stack([sound.latency, sound.low, sound.high], axis=-1).tolist()
        return [
            [None if isnan(mid) else Prediction(mid, low, high, source) for mid, low, high in row]
            for row in cells
        ]


class LatencyPredictor(Protocol):
    """Predicts the latency of any model on any device."""

    source: str

    def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
        """The latency, or None where the device's readings say too little.

        Raises VersionMismatch where a vector was written by another version.
        """
        ...

    def predict_all(
        self, models: Sequence[ModelFeatures], devices: Sequence[HardwareVector]
    ) -> Sequence[Sequence[Prediction | None]]:
        """The table as domain objects, a row per model."""
        ...

    def table(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyArrays:
        """All pairs at once. A vector of another version is NaN throughout.

        `observed` is what ran on each device; a predictor may be unable to learn from it.
        """
        ...

    def explain(
        self, model: ModelFeatures, device: HardwareVector, observed: Sequence[Observation] = ()
    ) -> Explanation | None:
        """Why the prediction is what it is; None where nothing can be predicted.

        Raises VersionMismatch.
        """
        ...


Z_90 = 1.645
"""Standard deviations to either end of a central 90 % interval."""


def corrected_table(
    table: LatencyArrays, models: Sequence[ModelFeatures], observed: Observations
) -> LatencyArrays:
    """The table with every column corrected by what was observed on its device."""
    if not any(observed):
        return table
    latency, spread = table.latency.copy(), table.spread.copy()
    rows: dict[str, int] = {}
    first = np.array([rows.setdefault(model.digest, row) for row, model in enumerate(models)], int)
    for column, made in enumerate(observed):
        known = [observation for observation in made if observation.model.digest in rows]
        asked = np.array([rows[observation.model.digest] for observation in known], int)
        there = np.isfinite(latency[asked, column])
        if there.any():
            seen = [observation for observation, use in zip(known, there, strict=True) if use]
            _correct_column(latency[:, column], spread[:, column], asked[there], seen)
            latency[:, column], spread[:, column] = latency[first, column], spread[first, column]
    return LatencyArrays(latency, spread)


def _correct_column(
    latency: np.ndarray, spread: np.ndarray, rows: np.ndarray, seen: Sequence[Observation]
) -> None:
    """Correct one column in place."""
    noise = np.array([observation.variance for observation in seen])
    wrong = np.log([observation.latency_s for observation in seen]) - np.log(latency[rows])
    own = (spread[rows] / Z_90) ** 2
    weight = 1.0 / (own + noise)
    precision = 1.0 / max(observation.shift for observation in seen) ** 2 + weight.sum()
    shift = (weight * wrong).sum() / precision
    latency *= np.exp(shift)
    latency[rows] *= np.exp((wrong - shift) * own * weight)
    left = Z_90 * np.sqrt(own * noise * weight + (noise * weight) ** 2 / precision)
    spread[rows] = np.minimum(spread[rows], left)
