"""What the parts need from the outside, as protocols."""

from collections.abc import Sequence
from typing import Protocol

from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Prediction


class Predictor(Protocol):
    """Knows what a model takes on a device it never ran on."""

    def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
        """Latency of one inference; None where nothing can be said.

        Raises:
            VersionMismatch: a vector is of another version than this predictor reads.
        """
        ...

    def predict_all(
        self, models: Sequence[ModelFeatures], devices: Sequence[HardwareVector]
    ) -> Sequence[Sequence[Prediction | None]]:
        """All pairs at once, a row per model; None also for vectors of another version."""
        ...
