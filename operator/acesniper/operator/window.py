"""Which waiting tasks are near enough to their turn to have a gated pod.

The API server keeps any number of tasks; kube-scheduler and the planner should not have to keep as
many pods. The order is the policies' own.
"""

from dataclasses import dataclass, field

from acesniper.api import convert
from acesniper.api.v1alpha1 import FINISHED, InferenceTask, Phase
from acesniper.domain.task import Task
from acesniper.operator.store import Store
from acesniper.policies.order import first_come, in_order

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

    def refresh(self, now_s: float) -> frozenset[str]:
        """Move the window to the present; returns the tasks that are new in it."""
        before, self._inside = self._inside, self._first(now_s)
        return self._inside - before

    def _first(self, now_s: float) -> frozenset[str]:
        waiting = {key: task for key, task in self.store.tasks.items() if _waits(task)}
        if len(waiting) <= self.size:
            return frozenset(waiting)
        self._known = {key: self._task(key, resource) for key, resource in waiting.items()}
        tasks = (task for _, task in self._known.values())
        return frozenset(task.key for task in in_order(tasks, first_come, now_s)[: self.size])

    def _task(self, key: str, resource: InferenceTask) -> tuple[str, Task]:
        uid = resource.metadata["uid"]
        known = self._known.get(key)
        return known if known and known[0] == uid else (uid, convert.task(resource, ""))


def _waits(task: InferenceTask) -> bool:
    return task.status.phase not in PLACED and not task.spec.suspend
