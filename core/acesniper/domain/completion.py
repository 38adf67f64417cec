"""When a task would finish on a device, term by term.

finish = now + backlog + cold start + transfer + inferences x latency
"""

from dataclasses import dataclass

from acesniper.domain.device import Device
from acesniper.domain.prediction import Prediction


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
