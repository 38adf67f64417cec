"""The tasks that wait, as arrays, for orders and batch heuristics."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Self

import numpy as np

from acesniper.domain.task import Task
from acesniper.policies.estimates import FleetSnapshot, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Queue:
    """Waiting tasks, first come first; every array has shape (tasks,)."""

    tasks: Sequence[Task]
    snapshot: FleetSnapshot

    @classmethod
    def of(cls, tasks: Sequence[Task], snapshot: FleetSnapshot) -> Self:
        """Line tasks up; equal times of creation are settled by name."""
        return cls(sorted(tasks, key=lambda task: (task.created_s, task.key)), snapshot)

    @property
    def age_s(self) -> Floats:
        """Seconds since each was created."""
        return self.snapshot.now_s - np.array([each.created_s for each in self.tasks])

    @property
    def slack_s(self) -> Floats:
        """Seconds until each one's deadline; infinite without one."""
        deadlines = [inf if each.deadline_s is None else each.deadline_s for each in self.tasks]
        return np.array(deadlines) - self.snapshot.now_s

    @property
    def size_s(self) -> Floats:
        """How long each takes on the device that runs it fastest."""
        terms = self.snapshot.estimates.terms
        return np.array([terms(each).fastest_s(each.inferences) for each in self.tasks])
