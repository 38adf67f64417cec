"""Admission window: which waiting tasks may have a gated pod.

The API server holds any number of tasks; kube-scheduler and the planner should not have to hold as
many pods. The window is ordered by the planner's policy, so that the tasks that the planner starts
next have their pods. Tasks that no device can run come last.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from acesniper.api import convert
from acesniper.api.names import SLOT_RESOURCE
from acesniper.api.objects import NodeView
from acesniper.api.units import parse_count
from acesniper.api.v1alpha1 import FINISHED, InferenceTask, Phase
from acesniper.domain.backoff import Backoff
from acesniper.domain.device import Device, DeviceId, NodeName
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.operator.cache import ObjectCache
from acesniper.policies.estimates import Estimates, FleetSnapshot, PredictionRow, check_feasibility
from acesniper.policies.plan import make_plan
from acesniper.policies.policy import Policy

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
ANY_DEVICE = Device(DeviceId("any"), NodeName("any"), "any", slots=1, memory_bytes=0)


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
        in_order = queue_order(tasks, self._fastest_s(), self.policy, now_s)
        feasible = feasible_tasks(tasks, self.store)
        # Infeasible tasks would fill the window and keep out those that could start.
        return [str(key) for key in sorted(in_order, key=lambda key: key not in feasible)]

    def _to_task(self, key: str, resource: InferenceTask) -> tuple[str, Task]:
        model = resource.status.model_profile or ""
        source = f"{resource.metadata['uid']}/{model}"
        cached = self._domain_tasks.get(key)
        if cached is not None and cached[0] == source:
            return cached
        return source, convert.to_task(resource, model)

    def _priority(self, task: Task) -> int:
        return self.store.priorities.get(task.priority_class, 0)

    def _fastest_s(self) -> dict[ModelKey, float]:
        """Latency of one inference of each model on its fastest device."""
        return {
            ModelKey(key): min(latency.fastest_seconds for latency in profile.status.latency)
            for key, profile in self.store.models.items()
            if profile.status.latency
        }


def _waits(task: InferenceTask) -> bool:
    return task.status.phase not in PLACED and not task.spec.suspend


# --- the order of the queue --------------------------------------------------------------------


def queue_order(
    tasks: Sequence[Task], fastest_s: Mapping[ModelKey, float], policy: Policy, now_s: float
) -> list[TaskKey]:
    """Keys of the tasks in the order of the planner's policy; ties and the rest by age.

    The operator has no predictions per device, but the latency of each model on its fastest one.
    For a single device with those latencies, the planner's plan is an order.
    """
    rows = {model: _latency_row(seconds) for model, seconds in fastest_s.items()}
    snapshot = FleetSnapshot(now_s, Estimates([ANY_DEVICE], rows), {})
    plan = make_plan(map(_unconstrained, tasks), snapshot, replace(policy, explore_share=0.0))
    first = dict.fromkeys(planned.task.key for planned in plan.planned)
    rest = sorted(
        (task for task in tasks if task.key not in first),
        key=lambda task: (-task.priority, task.created_s, task.key),
    )
    return [*first, *(task.key for task in rest)]


def _latency_row(seconds: float) -> PredictionRow:
    latency_s = np.array([seconds])
    return PredictionRow(latency_s, latency_s, latency_s, "fastest")


def _unconstrained(task: Task) -> Task:
    """A task without demands on devices, and without a deadline policy that could reject it."""
    return replace(
        task,
        providers=frozenset(),
        node_selector=(),
        memory_bytes=0,
        reject_late=False,
        excluded=frozenset(),
    )


def feasible_tasks(tasks: Sequence[Task], store: ObjectCache) -> set[TaskKey]:
    """Keys of the tasks that at least one device can run; equal demands are checked once."""
    nodes = {name: NodeView.of(node) for name, node in store.nodes.items()}
    devices = [
        convert.to_device(profile, schedulable=nodes[profile.spec.node].schedulable)
        for profile in store.devices.values()
        if profile.spec.node in nodes
    ]
    labels = {device.id: nodes[device.node].labels for device in devices}
    memory_bytes = {model: _memory_bytes(model, store) for model in {task.model for task in tasks}}
    checked: dict[tuple[object, ...], bool] = {}
    feasible = set()
    for resource in tasks:
        task = replace(resource, memory_bytes=memory_bytes[resource.model])
        demand = (task.providers, task.node_selector, task.memory_bytes)
        if demand not in checked:
            checked[demand] = any(
                check_feasibility(task, device, labels).feasible for device in devices
            )
        if checked[demand]:
            feasible.add(task.key)
    return feasible


def _memory_bytes(model: ModelKey, store: ObjectCache) -> int:
    profile = store.models.get(model)
    features = convert.model_features(profile) if profile is not None else None
    return features.peak_memory_bytes if features is not None else 0
