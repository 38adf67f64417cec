"""Predictions of latency, estimates of finish times and feasibility of a task on a device.

finish = now + backlog + cold start + transfer + inferences x latency
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from acesniper.domain.device import Device, HardwareVector
from acesniper.domain.model import ModelFeatures

MIN_LATENCY_S = 1e-9
MAX_LATENCY_S = 1e9
"""Bounds of a valid latency, a nanosecond to thirty years. A value outside is an error, and sums or
logarithms of it may not be finite."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Latency of one inference (one batch): the median and a central 90 % interval, in seconds.

    `source` names the predictor and version that made it.
    """

    latency_s: float
    low_s: float
    high_s: float
    source: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The terms of a prediction.

        latency = physics_s x exp(gate x (similarity + residual) + observed)

    `parts_s` are seconds per operator class, longest first; their sum is `physics_s`. The
    corrections are in log seconds; `observed` is learned from tasks on this device. In [0, 1]: the
    gate, how well known networks and devices explain this model and this device, and the `distance`
    from the nearest of the `similar` networks.
    """

    prediction: Prediction
    parts_s: Mapping[str, float]
    similarity: float = 0.0
    residual: float = 0.0
    gate: float = 1.0
    observed: float = 0.0
    model_explained: float = 0.0
    device_explained: float = 0.0
    similar: Mapping[str, float] | None = None

    @property
    def physics_s(self) -> float:
        """Analytical latency: the sum over the operators, in seconds."""
        return sum(self.parts_s.values())

    @property
    def distance(self) -> float:
        """Distance from the nearest known network: 1 minus the highest similarity."""
        return 1.0 - max((self.similar or {}).values(), default=0.0)


@dataclass(frozen=True, slots=True)
class FinishEstimate:
    """Estimated finish of a task on one device, term by term, in seconds from now."""

    device: Device
    prediction: Prediction
    inferences: int
    backlog_s: float = 0.0
    cold_start_s: float = 0.0
    transfer_s: float = 0.0

    @property
    def run_s(self) -> float:
        """Expected run time of all inferences."""
        return self.inferences * self.prediction.latency_s

    @property
    def busy_s(self) -> float:
        """How long the task occupies its slot."""
        return self.cold_start_s + self.transfer_s + self.run_s

    @property
    def finish_s(self) -> float:
        """Seconds from now until the task finishes."""
        return self.backlog_s + self.busy_s


@dataclass(frozen=True, slots=True)
class Feasibility:
    """Whether a device can run a task, and the reason if it cannot.

    `lasting`: neither preemption nor waiting would make it feasible.
    """

    feasible: bool
    reason: str = ""
    lasting: bool = False


FEASIBLE = Feasibility(feasible=True)


class Predictor(Protocol):
    """Predicts the latency of models on devices that have never run them."""

    def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
        """Latency of one inference; None if there is no prediction.

        Raises:
            VersionMismatch: a feature vector has another version than this predictor expects.
        """
        ...

    def predict_all(
        self, models: Sequence[ModelFeatures], devices: Sequence[HardwareVector]
    ) -> Sequence[Sequence[Prediction | None]]:
        """Predictions of all pairs, one row per model; None also on a version mismatch."""
        ...
