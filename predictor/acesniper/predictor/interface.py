"""What callers need of a predictor, whichever way it works."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Prediction


class Table(NamedTuple):
    """Latencies of one inference in seconds, arrays of shape (models, devices); NaN: unknown.

    `low` and `high` bound a central 90 % interval.
    """

    latency: np.ndarray
    low: np.ndarray
    high: np.ndarray


class LatencyPredictor(Protocol):
    """Predicts the latency of any model on any device."""

    source: str

    def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
        """The latency, or None where the device's readings say too little.

        Raises VersionMismatch where a vector was written by another version.
        """
        ...

    def table(self, models: Sequence[ModelFeatures], devices: Sequence[HardwareVector]) -> Table:
        """All pairs at once. A vector of another version is NaN throughout."""
        ...

    def explain(self, model: ModelFeatures, device: HardwareVector) -> Mapping[str, float]:
        """Where the predicted time goes, in seconds per operator class, longest first.

        Raises VersionMismatch; empty where nothing can be predicted.
        """
        ...
