"""Pending tasks: those that can be planned and hold no device yet.

They are kept ready for the planner one event at a time, so that a snapshot of ten thousand of them
costs no more than a copy of three dictionaries.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import chain

from acesniper.api import convert
from acesniper.api.objects import PodView, namespaced_key
from acesniper.api.v1alpha1 import FINISHED, InferenceTask
from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import PodUid
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.extender.cache.scheduler_rules import SchedulerRules

AVOID_DEVICE_S = 60.0
"""How long a device is excluded for a task whose pod was not bound there in time."""


@dataclass(slots=True)
class PendingTasks:
    """Pending tasks, split by whether their gated pod exists.

    Attributes:
        memory_bytes: returns the memory that a model needs; None if its profile is not ready.
        reserved: returns whether a pod holds a reservation.
        rules: what kube-scheduler's filters read of the pods and nodes.
        gated: tasks whose gated pod exists; these can be admitted.
        ungated: tasks without a pod; they are planned behind the others.
        gated_pods: the pod of each task in `gated`.
    """

    memory_bytes: Callable[[ModelKey], int | None]
    reserved: Callable[[PodUid], bool]
    rules: SchedulerRules = field(default_factory=SchedulerRules)
    gated: dict[TaskKey, Task] = field(default_factory=dict)
    ungated: dict[TaskKey, Task] = field(default_factory=dict)
    gated_pods: dict[TaskKey, PodView] = field(default_factory=dict)
    _tasks: dict[TaskKey, Task] = field(default_factory=dict)
    """All tasks that are not finished, suspended or being deleted."""
    _pod_uids: dict[TaskKey, str | None] = field(default_factory=dict)
    """The pod that the operator made for each of `_tasks`, by the task's status."""
    _pods: dict[TaskKey, dict[PodUid, PodView]] = field(default_factory=dict)
    _by_model: dict[ModelKey, set[TaskKey]] = field(default_factory=dict)
    _avoid_until_s: dict[TaskKey, dict[DeviceId, float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.gated) + len(self.ungated)

    def oldest_age_s(self, now_s: float) -> float:
        """Age of the oldest pending task in seconds; 0 without pending tasks."""
        created_s = (task.created_s for task in self._pending())
        return max(now_s - min(created_s, default=now_s), 0.0)

    def overdue_count(self, now_s: float) -> int:
        """Number of pending tasks whose deadline has passed."""
        deadlines_s = (task.deadline_s for task in self._pending())
        return sum(deadline_s is not None and deadline_s < now_s for deadline_s in deadlines_s)

    def set_task(self, key: TaskKey, resource: InferenceTask | None) -> None:
        """Upsert a task, or delete it (None)."""
        before = self._tasks.pop(key, None)
        self._pod_uids.pop(key, None)
        if before is not None:
            self._by_model[before.model].discard(key)
        if resource is None:
            self._avoid_until_s.pop(key, None)
        elif (task := _plannable_task(resource)) is not None:
            self._tasks[key] = task
            self._pod_uids[key] = resource.status.pod_uid
            self._by_model.setdefault(task.model, set()).add(key)
        self.invalidate(key)

    def upsert_pod(self, pod: PodView) -> None:
        """Upsert a pod; one that belongs to no task is ignored."""
        if pod.task is not None:
            key = task_key(pod)
            self._pods.setdefault(key, {})[pod.uid] = pod
            self.invalidate(key)

    def delete_pod(self, pod: PodView) -> None:
        """Delete a pod."""
        key = task_key(pod)
        pods = self._pods.get(key, {})
        if pods.pop(pod.uid, None) is not None:
            if not pods:
                del self._pods[key]
            self.invalidate(key)

    def avoid_device(self, pod: PodView, device: DeviceId, now_s: float) -> None:
        """Exclude a device for the task of a pod for `AVOID_DEVICE_S`."""
        self._avoid_until_s.setdefault(task_key(pod), {})[device] = now_s + AVOID_DEVICE_S
        self.invalidate(task_key(pod))

    def reset_backoff(self, now_s: float) -> None:
        """Make devices whose exclusion has ended eligible again."""
        for key, until_s in tuple(self._avoid_until_s.items()):
            remaining = {device: end_s for device, end_s in until_s.items() if end_s > now_s}
            if len(remaining) < len(until_s):
                self._avoid_until_s[key] = remaining
                if not remaining:
                    del self._avoid_until_s[key]
                self.invalidate(key)

    def invalidate_model(self, model: ModelKey) -> None:
        """Derive the tasks of a model again: its profile became ready or was deleted."""
        for key in tuple(self._by_model.get(model, ())):
            self.invalidate(key)

    def invalidate(self, key: TaskKey) -> None:
        """Derive again whether a task is pending, and whether its pod is gated."""
        self.gated.pop(key, None)
        self.ungated.pop(key, None)
        self.gated_pods.pop(key, None)
        task, gated_pod = self._tasks.get(key), None
        for pod in self._active_pods(key):
            if not pod.gated or self.reserved(pod.uid):
                return  # admitted
            if pod.other_gates:
                return  # another controller has to remove its own gate first
            gated_pod = pod
        memory_bytes = self.memory_bytes(task.model) if task is not None else None
        if task is None or memory_bytes is None:
            return
        excluded = frozenset(self._avoid_until_s.get(key, ()))
        task = replace(task, memory_bytes=memory_bytes, excluded=excluded)
        if gated_pod is None:
            self.ungated[key] = task
        else:
            # The pod has what admission in the API server added: the value of its priority class,
            # default requests, tolerations, sidecars, or the node selector of Kueue's flavor.
            rules = self.rules.rules_of(gated_pod.uid)
            self.gated[key] = replace(task, priority=gated_pod.priority, pod_rules=rules)
            self.gated_pods[key] = gated_pod

    def _pending(self) -> Iterable[Task]:
        return chain(self.gated.values(), self.ungated.values())

    def _active_pods(self, key: TaskKey) -> Iterable[PodView]:
        """The pod that the operator made for a task; labels and owners can be written by all."""
        uid = self._pod_uids.get(key)
        pods = self._pods.get(key, {}).values()
        return (pod for pod in pods if pod.uid == uid and not pod.finished and not pod.deleting)


def task_key(pod: PodView) -> TaskKey:
    """Return the key of the task that a pod belongs to."""
    return TaskKey(namespaced_key(pod.namespace, str(pod.task)))


def _plannable_task(resource: InferenceTask) -> Task | None:
    status = resource.status
    if status.phase in FINISHED or resource.spec.suspend or not status.model_profile:
        return None
    if resource.metadata.get("deletionTimestamp"):
        return None
    return convert.to_task(resource, status.model_profile)
