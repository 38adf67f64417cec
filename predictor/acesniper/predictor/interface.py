"""What callers need of a predictor, whichever way it works."""

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple, Protocol

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Explanation, Prediction
from acesniper.predictor.pcn.observations import Observation, Observations

LONGEST_S = 1e9
"""Thirty years for one inference: a vector that says more was not read from a model that runs."""


class Table(NamedTuple):
    """Latencies of one inference in seconds, arrays of shape (models, devices); NaN: unknown.

    A central 90 % interval reaches by `spread` (log seconds) to either side.
    """

    latency: np.ndarray
    spread: np.ndarray

    @property
    def low(self) -> np.ndarray:
        """Where the interval begins."""
        return np.asarray(self.latency * np.exp(-self.spread))

    @property
    def high(self) -> np.ndarray:
        """Where the interval ends."""
        return np.asarray(self.latency * np.exp(self.spread))

    def believable(self) -> "Table":
        """Unknown where it says what no device takes: one such cell spoils what plans add up."""
        fine = (self.latency > 0.0) & (self.latency <= LONGEST_S) & np.isfinite(self.spread)
        return Table(*(np.where(fine, each, np.nan) for each in self))

    def predictions(self, source: str) -> list[list[Prediction | None]]:
        """Row by row as domain objects, None where unknown."""
        fine = self.believable()
        cells = np.stack([fine.latency, fine.low, fine.high], axis=-1).tolist()
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
    ) -> Table:
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
