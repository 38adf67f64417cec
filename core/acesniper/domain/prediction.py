"""What we expect a model to take on a device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from acesniper.domain.device import Device, HardwareVector
from acesniper.domain.model import ModelFeatures

MIN_LATENCY_S = 1e-9
MAX_LATENCY_S = 1e9
"""What one inference can take at all, a nanosecond to thirty years: beyond that, something else
than a latency was written, and sums and logarithms of it are no numbers any more."""


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
    """Why a prediction is what it is.

        latency = physics_s x exp(gate x (similarity + residual) + observed)

    `parts_s` are seconds per operator class, longest first, which add up to `physics_s`. The
    corrections are in log seconds; `observed` follows from what was run on the device itself. In
    [0, 1]: the gate, how well the known explain the model and the device, and `distance` from the
    nearest of the `similar` networks.
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
        """Seconds by the sum over operators alone."""
        return sum(self.parts_s.values())

    @property
    def distance(self) -> float:
        """How far the model is from everything known: 1 less the best likeness."""
        return 1.0 - max((self.similar or {}).values(), default=0.0)


# TODO merge docstring of acesniper.domain.prediction:
# When a task would finish on a device, term by term.
#
# finish = now + backlog + cold start + transfer + inferences x latency


@dataclass(frozen=True, slots=True)
class FinishEstimate:
    """One candidate device for a task: the terms of its finish time, in seconds from now."""

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
        """Seconds from now until the task would be finished."""
        return self.backlog_s + self.busy_s


@dataclass(frozen=True, slots=True)
class Feasibility:
    """Whether a device can take a task; `reason` is a sentence for people when it cannot.

    `lasting` says that no eviction or wait would help.
    """

    feasible: bool
    reason: str = ""
    lasting: bool = False


FEASIBLE = Feasibility(feasible=True)


# TODO merge docstring of acesniper.domain.prediction:
# What the parts need from the outside, as protocols.


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
