"""What became of the tasks of a run, and the figures that are told of it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from acesniper.domain.task import Task


@dataclass(frozen=True, slots=True)
class CompletedTask:
    """A task that ran: on the device `device`, in the last of `attempts` from `started_s` on."""

    task: Task
    device: int
    started_s: float
    finished_s: float
    attempts: int = 1

    @property
    def wait_s(self) -> float:
        """From arrival to start."""
        return self.started_s - self.task.created_s

    @property
    def response_s(self) -> float:
        """From arrival to finish."""
        return self.finished_s - self.task.created_s

    @property
    def late(self) -> bool:
        """Whether it finished after its deadline."""
        return self.task.deadline_s is not None and self.finished_s > self.task.deadline_s


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """Of one run, or the means over several. `deadline_misses` counts tasks that were late."""

    mean_wait_s: float
    p95_wait_s: float
    mean_response_s: float
    p95_response_s: float
    throughput_per_s: float
    deadline_misses: float


def run_statistics(finished: Sequence[CompletedTask]) -> RunStatistics:
    """The figures of a run; its throughput is from the first arrival to the last finish."""
    wait_s = np.array([each.wait_s for each in finished])
    response_s = np.array([each.response_s for each in finished])
    first_s = min(each.task.created_s for each in finished)
    span_s = max(each.finished_s for each in finished) - first_s
    return RunStatistics(
        float(wait_s.mean()),
        float(np.quantile(wait_s, 0.95)),
        float(response_s.mean()),
        float(np.quantile(response_s, 0.95)),
        len(finished) / span_s,
        float(sum(each.late for each in finished)),
    )


def mean_statistics(runs: Sequence[RunStatistics]) -> RunStatistics:
    """The means over runs."""
    values = [[getattr(each, field.name) for field in fields(RunStatistics)] for each in runs]
    return RunStatistics(*(float(value) for value in np.mean(values, axis=0)))
