"""Which waiting tasks are near enough to their turn to have a gated pod.

The API server keeps any number of tasks; kube-scheduler and the planner should not have to keep as
many pods. First come, first in: what a task takes is the planner's to know.
"""

from dataclasses import dataclass, field
from heapq import nsmallest

from acesniper.api import convert
from acesniper.api.v1alpha1 import FINISHED, InferenceTask, Phase
from acesniper.domain.task import Task
from acesniper.operator.store import Store

PLACED = FINISHED | {Phase.SCHEDULED, Phase.RUNNING}


@dataclass(slots=True)
class Window:
    """The first `size` waiting tasks."""

    store: Store
    size: int
    _inside: frozenset[str] = field(default_factory=frozenset)
    _known: dict[str, tuple[str, Task]] = field(default_factory=dict)
    """Tasks by key, with the UID they were made from: what orders a task never changes."""

    def __contains__(self, key: object) -> bool:
        return len(self.store.tasks) <= self.size or key in self._inside

    def refresh(self) -> frozenset[str]:
        """Move the window to the present; returns the tasks that are new in it."""
        before, self._inside = self._inside, self._first()
        return self._inside - before

    def _first(self) -> frozenset[str]:
        waiting = {key: task for key, task in self.store.tasks.items() if _waits(task)}
        if len(waiting) <= self.size:
            return frozenset(waiting)
        self._known = {key: self._task(key, resource) for key, resource in waiting.items()}
        tasks = (task for _, task in self._known.values())
        return frozenset(task.key for task in nsmallest(self.size, tasks, key=_first_come))

    def _task(self, key: str, resource: InferenceTask) -> tuple[str, Task]:
        uid = resource.metadata["uid"]
        known = self._known.get(key)
        return known if known and known[0] == uid else (uid, convert.task(resource, ""))


def _first_come(task: Task) -> tuple[float, str]:
    return task.created_s, task.key


def _waits(task: InferenceTask) -> bool:
    return task.status.phase not in PLACED and not task.spec.suspend
