"""Admission window: which waiting tasks may have a gated pod.

The API server holds any number of tasks; kube-scheduler and the planner should not have to hold as
many pods. The window is ordered by the planner's policy and shares, so that the tasks that the
planner starts next have their pods. Tasks that no device can run come last, and tasks whose pod
waits for another controller, as for Kueue's admission.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from acesniper.api import convert
from acesniper.api.names import SLOT_RESOURCE
from acesniper.api.units import parse_count
from acesniper.api.v1alpha1 import FINISHED, InferenceTask, Phase
from acesniper.domain.backoff import Backoff
from acesniper.domain.task import Task
from acesniper.operator.cache import ObjectCache
from acesniper.operator.queue_order import (
    fastest_latencies,
    feasible_tasks,
    held_reservations,
    queue_order,
)
from acesniper.policies.policy import Policy
from acesniper.policies.shares import ShareAccounts

PLACED = FINISHED | {Phase.SCHEDULED, Phase.RUNNING}
SPARE_TASKS = 50
"""Tasks in the window in addition to two per slot."""
QUOTA_BACKOFF = Backoff(first_s=0.5, max_s=5.0)
"""How long tasks of a namespace with an exhausted quota leave the window to others. A quota is
available again a moment after one of the namespace's pods has ended."""
REJECTION_BACKOFF = Backoff(first_s=5.0, max_s=60.0)
"""How long a task whose pod was rejected for another reason leaves the window to others."""
ORDER_INTERVAL_S = 1.0
"""How often a long queue is sorted."""
RETRIES_PER_S = 10.0
"""Rejected keys that are retried per second in the long run."""


@dataclass(slots=True)
class RejectionBackoff:
    """Back-off by key, for tasks or namespaces whose pods the API server rejects.

    No watch shows when a quota, limit range, pod security standard or priority class is changed.
    With very many keys the pauses exceed the back-off's maximum.
    """

    backoff: Backoff
    _pauses: dict[str, tuple[float, float]] = field(default_factory=dict)
    """(end, length) of each pause, in seconds."""

    def rejected(self, key: str, now_s: float) -> None:
        """Start a pause, twice as long as the one before, unless one lasts."""
        end_s, before_s = self._pauses.get(key, (0.0, 0.0))
        if not _lasts(end_s, before_s, now_s):
            max_s = max(self.backoff.max_s, len(self._pauses) / RETRIES_PER_S)
            pause_s = replace(self.backoff, max_s=max_s).next_s(before_s)
            self._pauses[key] = now_s + pause_s, pause_s

    def reset(self, key: str) -> None:
        """End the back-off of a key: a pod was created, or a retry may succeed."""
        self._pauses.pop(key, None)

    def retain(self, keys: Collection[str]) -> None:
        """Drop all other keys."""
        self._pauses = {key: pause for key, pause in self._pauses.items() if key in keys}

    def paused(self, now_s: float) -> set[str]:
        """Keys that must not be retried yet."""
        return {key for key, pause in self._pauses.items() if _lasts(*pause, now_s)}


def _lasts(end_s: float, pause_s: float, now_s: float) -> bool:
    """Whether a pause lasts; a clock that is set back ends it."""
    return 0.0 < end_s - now_s <= pause_s


@dataclass(slots=True)
class AdmissionWindow:
    """The first waiting tasks: two per slot of the fleet and some, at most `max_tasks`."""

    store: ObjectCache
    max_tasks: int
    policy: Policy = field(default_factory=Policy)
    shares: ShareAccounts | None = None
    """Accounts of the namespaces; None if the policy orders the tasks of all of them."""
    size: int = 0
    _inside: frozenset[str] = field(default_factory=frozenset)
    _order: list[str] = field(default_factory=list)
    _ordered_s: float = float("-inf")
    _quotas: RejectionBackoff = field(default_factory=lambda: RejectionBackoff(QUOTA_BACKOFF))
    _rejections: RejectionBackoff = field(
        default_factory=lambda: RejectionBackoff(REJECTION_BACKOFF)
    )
    _excluded: set[str] = field(default_factory=set)
    """Namespaces with an exhausted quota, and tasks whose pod was rejected."""
    _domain_tasks: dict[str, tuple[str, Task]] = field(default_factory=dict)
    """Domain tasks by key, with the UID and model that they were made from."""

    def __post_init__(self) -> None:
        self.size = self._current_size()

    def __contains__(self, key: object) -> bool:
        task = self.store.tasks.get(str(key))
        if task is None or self._is_excluded(str(key), task):
            return False
        return len(self.store.tasks) <= self.size or key in self._inside

    def refresh(self, now_s: float) -> frozenset[str]:
        """Recompute the window; returns the tasks that entered it."""
        self.size = self._current_size()
        before, self._inside = self._inside, self._first_tasks(now_s)
        return self._inside - before

    def quota_exceeded(self, namespace: str, now_s: float) -> None:
        """A namespace may have no more pods for now."""
        self._quotas.rejected(namespace, now_s)
        self._exclude(namespace)

    def quota_available(self, namespace: str) -> None:
        """A namespace may have another pod: one was created there, or has ended."""
        self._quotas.reset(namespace)

    def pod_rejected(self, key: str, now_s: float) -> None:
        """A task's pod was rejected: other tasks get its place for a while."""
        self._rejections.rejected(key, now_s)
        self._exclude(key)

    def pod_created(self, key: str) -> None:
        """A task's pod was created."""
        self._rejections.reset(key)
        self.quota_available(key.partition("/")[0])

    def _current_size(self) -> int:
        statuses = (node.get("status", {}) for node in self.store.nodes.values())
        slots = ((status.get("allocatable") or {}).get(SLOT_RESOURCE) for status in statuses)
        return min(self.max_tasks, 2 * sum(map(parse_count, slots)) + SPARE_TASKS)

    def _first_tasks(self, now_s: float) -> frozenset[str]:
        self._rejections.retain(self.store.tasks)
        self._excluded = self._quotas.paused(now_s) | self._rejections.paused(now_s)
        waiting = {
            key: task
            for key, task in self.store.tasks.items()
            if _waits(task) and not self._is_excluded(key, task)
        }
        if len(waiting) <= self.size:
            return frozenset(waiting)
        in_order = [key for key in self._order if key in waiting]
        if not 0.0 <= now_s - self._ordered_s < ORDER_INTERVAL_S or len(in_order) < self.size:
            in_order = self._order = self._sorted(waiting, now_s)
            self._ordered_s = now_s
        return frozenset(in_order[: self.size])

    def _exclude(self, key: str) -> None:
        """Exclude a task or namespace at once, so that it counts as new when it enters again."""
        self._excluded.add(key)
        tasks = ((key, self.store.tasks.get(key)) for key in self._inside)
        self._inside = frozenset(
            key for key, task in tasks if task is not None and not self._is_excluded(key, task)
        )

    def _is_excluded(self, key: str, task: InferenceTask) -> bool:
        if key in self._excluded:
            return True
        return task.metadata["namespace"] in self._excluded and not self._has_pod(key)

    def _has_pod(self, key: str) -> bool:
        return any(not view.finished for view, _ in self.store.pods.get(key, {}).values())

    def _sorted(self, waiting: Mapping[str, InferenceTask], now_s: float) -> list[str]:
        self._domain_tasks = {key: self._to_task(key, task) for key, task in waiting.items()}
        tasks = [
            replace(task, priority=self._priority(task)) for _, task in self._domain_tasks.values()
        ]
        fastest_s = fastest_latencies(self.store)
        if self.shares is not None:
            held = held_reservations(self.store, fastest_s)
            self.shares.update(held, {task.namespace for task in tasks}, now_s)
        in_order = queue_order(tasks, fastest_s, self.policy, now_s, self.shares)
        feasible = feasible_tasks(tasks, self.store)
        # Tasks that cannot start would fill the window and keep out those that could.
        cannot_start = {key: (self._waits_for_others(key), key not in feasible) for key in in_order}
        return [str(key) for key in sorted(in_order, key=cannot_start.__getitem__)]

    def _waits_for_others(self, key: str) -> bool:
        """Whether a task's pod has a scheduling gate of another controller."""
        return any(view.other_gates for view, _ in self.store.pods.get(key, {}).values())

    def _to_task(self, key: str, resource: InferenceTask) -> tuple[str, Task]:
        model = resource.status.model_profile or ""
        source = f"{resource.metadata['uid']}/{model}"
        cached = self._domain_tasks.get(key)
        if cached is not None and cached[0] == source:
            return cached
        return source, convert.to_task(resource, model)

    def _priority(self, task: Task) -> int:
        return self.store.priorities.get(task.priority_class, 0)


def _waits(task: InferenceTask) -> bool:
    return task.status.phase not in PLACED and not task.spec.suspend
