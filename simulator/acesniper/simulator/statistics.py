"""Finished tasks of a simulation, and statistics over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from acesniper.domain.task import Task


@dataclass(frozen=True, slots=True)
class CompletedTask:
    """A finished task: its device, and start and finish of the last of `attempts`."""

    task: Task
    device: int
    started_s: float
    finished_s: float
    attempts: int = 1

    @property
    def wait_s(self) -> float:
        """Seconds from arrival to start."""
        return self.started_s - self.task.created_s

    @property
    def response_s(self) -> float:
        """Seconds from arrival to finish."""
        return self.finished_s - self.task.created_s

    @property
    def late(self) -> bool:
        """Whether it finished after its deadline."""
        return self.task.deadline_s is not None and self.finished_s > self.task.deadline_s


@dataclass(frozen=True, slots=True)
class NamespaceStatistics:
    """Statistics of the tasks of one namespace in one run, or means over several."""

    mean_wait_s: float
    mean_response_s: float
    p95_response_s: float


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """Statistics of one run, or means over several; `deadline_misses` counts late tasks.

    `namespaces` is empty if all tasks are of one namespace.
    """

    mean_wait_s: float
    p95_wait_s: float
    mean_response_s: float
    p95_response_s: float
    throughput_per_s: float
    deadline_misses: float
    namespaces: Mapping[str, NamespaceStatistics] = field(default_factory=dict)


def run_statistics(finished: Sequence[CompletedTask]) -> RunStatistics:
    """Statistics of a run; throughput is over the time from first arrival to last finish."""
    wait_s = np.array([task.wait_s for task in finished])
    response_s = np.array([task.response_s for task in finished])
    first_s = min(item.task.created_s for item in finished)
    span_s = max(task.finished_s for task in finished) - first_s
    return RunStatistics(
        float(wait_s.mean()),
        float(np.quantile(wait_s, 0.95)),
        float(response_s.mean()),
        float(np.quantile(response_s, 0.95)),
        len(finished) / span_s,
        float(sum(task.late for task in finished)),
        _by_namespace(finished),
    )


def mean_statistics(runs: Sequence[RunStatistics]) -> RunStatistics:
    """The means over runs."""
    names = sorted({name for run in runs for name in run.namespaces})
    namespaces = {
        name: NamespaceStatistics(
            **_means([run.namespaces[name] for run in runs if name in run.namespaces])
        )
        for name in names
    }
    return RunStatistics(**_means(runs), namespaces=namespaces)


def _means(runs: Sequence[RunStatistics] | Sequence[NamespaceStatistics]) -> dict[str, float]:
    """The mean of each number over runs."""
    return {
        item.name: float(np.mean([getattr(run, item.name) for run in runs]))
        for item in fields(runs[0])
        if item.name != "namespaces"
    }


def _by_namespace(finished: Sequence[CompletedTask]) -> Mapping[str, NamespaceStatistics]:
    by_namespace: dict[str, list[CompletedTask]] = {}
    for item in finished:
        by_namespace.setdefault(item.task.namespace, []).append(item)
    if len(by_namespace) == 1:
        return {}
    return {
        name: NamespaceStatistics(
            float(np.mean([item.wait_s for item in items])),
            float(np.mean([item.response_s for item in items])),
            float(np.quantile([item.response_s for item in items], 0.95)),
        )
        for name, items in sorted(by_namespace.items())
    }
