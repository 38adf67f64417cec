"""Queue orders: in which order waiting tasks are planned.

An order gives every waiting task a sort key; smaller keys go first and ties go to the older task.
To add an order, write a function here and name it in `ORDERS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Self

import numpy as np

from acesniper.domain.task import Task
from acesniper.policies.estimates import FleetSnapshot, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Queue:
    """Waiting tasks, oldest first; every array has shape (tasks,)."""

    tasks: Sequence[Task]
    snapshot: FleetSnapshot

    @classmethod
    def of(cls, tasks: Sequence[Task], snapshot: FleetSnapshot) -> Self:
        """Sort tasks by creation time; equal times are ordered by key."""
        return cls(sorted(tasks, key=lambda task: (task.created_s, task.key)), snapshot)

    @property
    def age_s(self) -> Floats:
        """Seconds since each task was created."""
        return self.snapshot.now_s - np.array([task.created_s for task in self.tasks])

    @property
    def slack_s(self) -> Floats:
        """Seconds until each task's deadline; infinite for tasks without one."""
        deadlines = [inf if task.deadline_s is None else task.deadline_s for task in self.tasks]
        return np.array(deadlines) - self.snapshot.now_s

    @property
    def size_s(self) -> Floats:
        """How long each task occupies the device that runs it fastest."""
        terms = self.snapshot.estimates.terms
        return np.array([terms(task).fastest_s(task.inferences) for task in self.tasks])


def first_come_first_served(queue: Queue) -> Floats:
    """Oldest task first."""
    return -queue.age_s


def shortest_job_first(queue: Queue) -> Floats:
    """Shortest task first (Smith, Naval Research Logistics Quarterly 3, 1956)."""
    return queue.size_s


def earliest_deadline_first(queue: Queue) -> Floats:
    """Earliest deadline first; tasks without a deadline last (Liu and Layland, J. ACM 20, 1973)."""
    return queue.slack_s


def highest_response_ratio_next(queue: Queue) -> Floats:
    """Largest (wait + size) / size first, so that no task starves (Brinch Hansen, 1971).

    A task of size 0 goes before all others.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 1.0 + np.maximum(queue.age_s, 0.0) / queue.size_s
    return -np.nan_to_num(ratio, nan=np.inf)


Order = Callable[[Queue], Floats]

ORDERS: Mapping[str, Order] = MappingProxyType(
    {
        "edf": earliest_deadline_first,
        "fcfs": first_come_first_served,
        "hrrn": highest_response_ratio_next,
        "sjf": shortest_job_first,
    }
)
"""Orders by the name that a policy uses."""
