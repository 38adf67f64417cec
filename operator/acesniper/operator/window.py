"""Which waiting tasks are near enough to their turn to have a gated pod.

The API server keeps any number of tasks; kube-scheduler and the planner should not have to keep as
many pods. The order is that of the planner's policy, so that what it would start next has its pod;
what no device can run comes after all else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from acesniper.api import convert
from acesniper.api.names import SLOT_RESOURCE
from acesniper.api.units import parse_count
from acesniper.api.v1alpha1 import FINISHED, InferenceTask, Phase
from acesniper.domain.task import ModelKey, Task
from acesniper.operator.admission_window import RefusalBackoff, feasible_tasks, queue_order
from acesniper.operator.cache import ObjectCache
from acesniper.policies.policy import Policy

PLACED = FINISHED | {Phase.SCHEDULED, Phase.RUNNING}
SPARE = 50
"""Tasks in the window beyond two for each slot."""
FULL_S = (0.5, 5.0)
"""How long tasks of a namespace that may have no more pods stay outside, so that others come in: at
first, and at most. Its quota is free again a moment after one of its pods has ended."""
REFUSED_S = (5.0, 60.0)
"""The same of a task whose pod is refused for another reason."""
ORDER_S = 1.0
"""How often a long queue is put in order."""


@dataclass(slots=True)
class AdmissionWindow:
    """The first waiting tasks: two for each slot of the fleet and some, `most` at most."""

    store: ObjectCache
    most: int
    policy: Policy = field(default_factory=Policy)
    size: int = 0
    _inside: frozenset[str] = field(default_factory=frozenset)
    _order: list[str] = field(default_factory=list)
    _ordered_s: float = float("-inf")
    _full: RefusalBackoff = field(default_factory=lambda: RefusalBackoff(*FULL_S))
    _refused: RefusalBackoff = field(default_factory=lambda: RefusalBackoff(*REFUSED_S))
    _outside: set[str] = field(default_factory=set)
    """Namespaces that are full, and tasks whose pod was refused, for now."""
    _known: dict[str, tuple[str, Task]] = field(default_factory=dict)
    """Tasks by key, with the UID they were made from: what orders a task never changes."""

    def __post_init__(self) -> None:
        self.size = self._fitting()

    def __contains__(self, key: object) -> bool:
        task = self.store.tasks.get(str(key))
        if task is None or self._stays_outside(str(key), task):
            return False
        return len(self.store.tasks) <= self.size or key in self._inside

    def refresh(self, now_s: float) -> frozenset[str]:
        """Move the window to the present; returns the tasks that are new in it."""
        self.size = self._fitting()
        before, self._inside = self._inside, self._first(now_s)
        return self._inside - before

    def is_full(self, namespace: str, now_s: float) -> None:
        """Note that a namespace may have no more pods for now: its quota is used up."""
        self._full.note(namespace, now_s)
        self._leave(namespace)

    def has_room(self, namespace: str) -> None:
        """Note that a namespace may have another pod: one was made there, or has ended."""
        self._full.over(namespace)

    def refused(self, key: str, now_s: float) -> None:
        """Note that a task's pod was refused: others get its place for a while."""
        self._refused.note(key, now_s)
        self._leave(key)

    def made(self, key: str) -> None:
        """Note that a task's pod was made."""
        self._refused.over(key)
        self.has_room(key.partition("/")[0])

    def _fitting(self) -> int:
        statuses = (node.get("status", {}) for node in self.store.nodes.values())
        offered = ((each.get("allocatable") or {}).get(SLOT_RESOURCE) for each in statuses)
        return min(self.most, 2 * sum(map(parse_count, offered)) + SPARE)

    def _first(self, now_s: float) -> frozenset[str]:
        self._refused.keep(self.store.tasks)
        self._outside = self._full.pausing(now_s) | self._refused.pausing(now_s)
        waiting = {
            key: task
            for key, task in self.store.tasks.items()
            if _waits(task) and not self._stays_outside(key, task)
        }
        if len(waiting) <= self.size:
            return frozenset(waiting)
        in_order = [key for key in self._order if key in waiting]
        if not 0.0 <= now_s - self._ordered_s < ORDER_S or len(in_order) < self.size:
            in_order = self._order = self._put_in_order(waiting, now_s)
            self._ordered_s = now_s
        return frozenset(in_order[: self.size])

    def _leave(self, who: str) -> None:
        """Out at once: whoever comes in again, however soon, is new."""
        self._outside.add(who)
        tasks = ((key, self.store.tasks.get(key)) for key in self._inside)
        self._inside = frozenset(
            key for key, task in tasks if task is not None and not self._stays_outside(key, task)
        )

    def _stays_outside(self, key: str, task: InferenceTask) -> bool:
        if key in self._outside:
            return True
        return task.metadata["namespace"] in self._outside and not self._has_pod(key)

    def _has_pod(self, key: str) -> bool:
        return any(not view.finished for view, _ in self.store.pods.get(key, {}).values())

    def _put_in_order(self, waiting: Mapping[str, InferenceTask], now_s: float) -> list[str]:
        self._known = {key: self._task(key, resource) for key, resource in waiting.items()}
        tasks = [replace(task, priority=self._priority(task)) for _, task in self._known.values()]
        in_order = queue_order(tasks, self._fastest_s(), self.policy, now_s)
        able = feasible_tasks(tasks, self.store)
        # What nothing can run would fill the window, and keep out all that could start.
        return [str(key) for key in sorted(in_order, key=lambda key: key not in able)]

    def _task(self, key: str, resource: InferenceTask) -> tuple[str, Task]:
        uid, model = resource.metadata["uid"], resource.status.model_profile or ""
        known = self._known.get(key)
        if known is not None and known[0] == f"{uid}/{model}":
            return known
        return f"{uid}/{model}", convert.to_task(resource, model)

    def _priority(self, task: Task) -> int:
        return self.store.priorities.get(task.priority_class, 0)

    def _fastest_s(self) -> dict[ModelKey, float]:
        """What one inference of each model takes on the fastest device."""
        return {
            ModelKey(key): min(each.fastest_seconds for each in profile.status.latency)
            for key, profile in self.store.models.items()
            if profile.status.latency
        }


def _waits(task: InferenceTask) -> bool:
    return task.status.phase not in PLACED and not task.spec.suspend
