"""What callers need of a predictor, whichever way it works."""

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple, Protocol

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import MAX_LATENCY_S, MIN_LATENCY_S, Explanation, Prediction
from acesniper.predictor.base import Observation, Observations

MAX_SPREAD = 10.0
"""Log seconds to either side of a latency: a factor of 20,000 says nothing any more, and half
precision can still hold it."""


class LatencyArrays(NamedTuple):
    """Latencies of one inference in seconds, arrays of shape (models, devices); NaN: unknown.

    A central 90 % interval reaches by `spread` (log seconds) to either side.
    """

    latency: np.ndarray
    spread: np.ndarray

    def sound(self) -> "Table":
        """What can be reckoned with: unknown where readings out of this world lead to others.

        Plans and their reasons are sums of these numbers; one that is none would spoil them all.
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
