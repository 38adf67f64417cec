"""The tasks that wait for a device, kept ready for the planner one event at a time.

Ten thousand of them are handed over by copying three dictionaries: everything else was done when
their events came.
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

AVOID_DEVICE_S = 60.0
"""How long a device that did not take a task's pod is not chosen for it again."""


@dataclass(slots=True)
class PendingTasks:
    """`ready` tasks have a gated pod, in `gated`; those `behind` have none yet.

    `memory_bytes` says what a model needs, None for one that was not read; `promised` whether a pod
    has a promise already.
    """

    memory_bytes: Callable[[ModelKey], int | None]
    promised: Callable[[PodUid], bool]
    ready: dict[TaskKey, Task] = field(default_factory=dict)
    behind: dict[TaskKey, Task] = field(default_factory=dict)
    gated: dict[TaskKey, PodView] = field(default_factory=dict)
    _tasks: dict[TaskKey, Task] = field(default_factory=dict)
    """Those that are neither finished nor suspended nor being deleted."""
    _pods: dict[TaskKey, dict[PodUid, PodView]] = field(default_factory=dict)
    _of_model: dict[ModelKey, set[TaskKey]] = field(default_factory=dict)
    _avoided: dict[TaskKey, dict[DeviceId, float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ready) + len(self.behind)

    def oldest_s(self, now_s: float) -> float:
        """Age of the task that waits longest; 0 if none does."""
        created = (each.created_s for each in chain(self.ready.values(), self.behind.values()))
        return max(now_s - min(created, default=now_s), 0.0)

    def overdue(self, now_s: float) -> int:
        """How many still wait although their deadline has passed."""
        waiting = chain(self.ready.values(), self.behind.values())
        return sum(each.deadline_s is not None and each.deadline_s < now_s for each in waiting)

    def take_task(self, key: TaskKey, resource: InferenceTask | None) -> None:
        """A task was made or changed; None: it is gone."""
        before = self._tasks.pop(key, None)
        if before is not None:
            self._of_model[before.model].discard(key)
        if resource is None:
            self._avoided.pop(key, None)
        elif (task := _plannable(resource)) is not None:
            self._tasks[key] = task
            self._of_model.setdefault(task.model, set()).add(key)
        self.look_again(key)

    def take_pod(self, pod: PodView) -> None:
        """A pod of a task was seen."""
        if pod.task is not None:
            key = task_key(pod)
            self._pods.setdefault(key, {})[pod.uid] = pod
            self.look_again(key)

    def drop_pod(self, pod: PodView) -> None:
        """A pod of a task is gone."""
        key = task_key(pod)
        pods = self._pods.get(key, {})
        if pods.pop(pod.uid, None) is not None:
            if not pods:
                del self._pods[key]
            self.look_again(key)

    def model_changed(self, model: ModelKey) -> None:
        """A model was read, or is gone."""
        for key in tuple(self._of_model.get(model, ())):
            self.look_again(key)

    def avoid(self, pod: PodView, device: DeviceId, now_s: float) -> None:
        """Do not choose a device for a pod's task for a while."""
        self._avoided.setdefault(task_key(pod), {})[device] = now_s + AVOID_DEVICE_S
        self.look_again(task_key(pod))

    def forgive(self, now_s: float) -> None:
        """Devices that were avoided for long enough may be chosen again."""
        for key, until_s in tuple(self._avoided.items()):
            left = {device: end_s for device, end_s in until_s.items() if end_s > now_s}
            if len(left) < len(until_s):
                self._avoided[key] = left
                if not left:
                    del self._avoided[key]
                self.look_again(key)

    def look_again(self, key: TaskKey) -> None:
        """Put a task where it belongs now."""
        self.ready.pop(key, None)
        self.behind.pop(key, None)
        self.gated.pop(key, None)
        task, pod = self._tasks.get(key), None
        for each in self._live(key):
            if not each.gated or self.promised(each.uid):
                return  # admitted
            if each.other_gates:
                return  # nothing can start it but who has put that gate there
            pod = each
        memory_bytes = self.memory_bytes(task.model) if task is not None else None
        if task is None or memory_bytes is None:
            return
        excluded = frozenset(self._avoided.get(key, ()))
        task = replace(task, memory_bytes=memory_bytes, excluded=excluded)
        if pod is None:
            self.behind[key] = task
        else:
            # The API server has looked the priority class up for the pod.
            self.ready[key] = replace(task, priority=pod.priority)
            self.gated[key] = pod

    def _live(self, key: TaskKey) -> Iterable[PodView]:
        pods = self._pods.get(key, {}).values()
        return (pod for pod in pods if not pod.finished and not pod.deleting)


def task_key(pod: PodView) -> TaskKey:
    """The task of a pod."""
    return TaskKey(namespaced_key(pod.namespace, str(pod.task)))


def _plannable(resource: InferenceTask) -> Task | None:
    status = resource.status
    if status.phase in FINISHED or resource.spec.suspend or not status.model_profile:
        return None
    if resource.metadata.get("deletionTimestamp"):
        return None
    return convert.to_task(resource, status.model_profile)
