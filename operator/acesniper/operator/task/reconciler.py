"""Reconciles InferenceTasks: asks the life cycle what to do, and does it."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from acesniper.api.names import INFERENCE_TASKS, MODEL_PROFILES, PODS
from acesniper.api.objects import Json, merge_patch, namespaced_key
from acesniper.api.reasons import Notice, Reason
from acesniper.api.v1alpha1 import InferenceTask, InferenceTaskStatus, Phase
from acesniper.domain.errors import (
    AcesniperError,
    Conflict,
    Forbidden,
    InvalidInput,
    NamespaceTerminating,
    NotFound,
)
from acesniper.operator.admission_window import AdmissionWindow
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import OperatorMetrics, count_deleted, count_phase
from acesniper.operator.task.lifecycle import next_action
from acesniper.operator.task.pending import next_incarnation, pod_rejected
from acesniper.operator.task.snapshot import Action, TaskSnapshot, UnschedulableReasons
from acesniper.operator.task.termination import reject_invalid_pod
from acesniper.operator.task.volumes import NodeCache, without_cache
from acesniper.runtime.client import Cluster
from acesniper.runtime.events import EventRecorder

log = logging.getLogger(__name__)

LATE_WATCH_S = 1.0
"""When the API server knows better than our watch, we look again this much later."""
MUTILATED = (
    "an admission webhook takes the label acesniper.io/task or the owner from its pod; "
    "let it leave both"
)
TOLD_AFTER = 5
"""Failures in a row after which a task says so: by then, some seconds have gone."""
QUOTA = "exceeded quota"
"""How the API server says that no other pod of the namespace would do better."""


@dataclass(slots=True)
class TaskReconciler:
    """One task at a time: look, decide, act, write down."""

    cluster: Cluster
    store: ObjectCache
    window: AdmissionWindow
    metrics: OperatorMetrics
    events: EventRecorder
    image: str
    clock: Callable[[], float]
    start_patience_s: float = 300.0
    """How long a container that cannot be started is waited for."""
    cache: NodeCache | None = None
    _nowhere: UnschedulableReasons = field(default_factory=dict)
    _failed: dict[str, int] = field(default_factory=dict)
    """Tasks that could not be taken a step further, and how often in a row."""

    async def reconcile(self, key: str) -> float | None:
        """Bring one task a step further; returns when to look again, in seconds."""
        task = self.store.tasks.get(key)
        if task is None:
            self._failed.pop(key, None)
            return None
        if task.metadata.get("deletionTimestamp"):
            await self._let_go(key, task)
            return None
        step = next_action(self._sight(key, task))
        try:
            again_s = await self._take(task, step)
        except NamespaceTerminating:
            # Everything in it is being deleted, the task as well: nothing is left to do.
            return None
        except NotFound:
            if await self.cluster.get(INFERENCE_TASKS, *_name_of(task)) is not None:
                raise
            # Deleted while no watch was looking.
            count_deleted(self.metrics, task)
            self.store.tasks.pop(key, None)
            return None
        except AcesniperError as error:
            await self._hindered(key, task, str(error))
            raise
        self._failed.pop(key, None)
        return again_s

    async def _hindered(self, key: str, task: InferenceTask, why: str) -> None:
        """Say what goes wrong again and again; most things go well the next time."""
        count = self._failed[key] = self._failed.get(key, 0) + 1
        if count != TOLD_AFTER:
            return
        text = f"cannot go on for now: {why}"
        known = self.store.tasks.get(key, task)
        phase = known.status.phase or Phase.PENDING
        with suppress(AcesniperError):  # the API server may be what is away
            update = {"phase": phase, "message": text}
            await self._write(known, known.status.model_copy(update=update))
            await self._tell(task, Notice(Reason.RECONCILE_FAILED, text, warning=True))

    async def _let_go(self, key: str, task: InferenceTask) -> None:
        """Somebody's finalizer keeps a task that was deleted: its pods need not run for that."""
        if "orphan" in (task.metadata.get("finalizers") or ()):
            return  # whoever deleted it wants to keep them
        for pod, _ in self.store.pods_of(key, task.metadata["uid"]).values():
            if not pod.finished and not pod.deleting:
                await self.cluster.delete(PODS, pod.name, pod.namespace, pod.uid)

    def _sight(self, key: str, task: InferenceTask) -> TaskSnapshot:
        return TaskSnapshot(
            task=task,
            pods=self.store.pods_of(key, task.metadata["uid"]),
            models=self.store.models_in(task.metadata["namespace"]),
            may_queue=key in self.window,
            now_s=self.clock(),
            image=self.image,
            cache=self.cache,
            nodes=self.store.nodes,
            devices=self.store.devices,
            start_patience_s=self.start_patience_s,
            nowhere=self._nowhere,
        )

    async def _take(self, task: InferenceTask, step: Action) -> float | None:
        name, namespace = _name_of(task)
        if step.confirm_gone and await self._still_there(task, step.confirm_gone):
            return LATE_WATCH_S
        if step.create_model is not None:
            await self._create_model(step.create_model, namespace)
        if step.learn_memory is not None:
            await self._learn_memory(namespace, *step.learn_memory)
        if step.delete_pod is not None:
            pod, grace_s = step.delete_pod, 0 if step.by_force else None
            await self.cluster.delete(PODS, pod.name, pod.namespace, uid=pod.uid, grace_s=grace_s)
        if step.delete_task:
            await self.cluster.delete(INFERENCE_TASKS, name, namespace, task.metadata["uid"])
            return None
        if step.create_pod is not None:
            step = await self._create_pod(task, step, step.create_pod)
        await self._write(task, step.status)
        for notice in step.notices:
            await self._tell(task, notice)
        return step.look_again_s

    async def _still_there(self, task: InferenceTask, pod: str) -> bool:
        namespace = task.metadata["namespace"]
        found = await self.cluster.get(PODS, pod, namespace)
        if found is None or not _owns(task, found):
            return False
        metadata = found["metadata"]
        if self.store.take_pod(found) is None and not metadata.get("deletionTimestamp"):
            # Somebody took its label away: no watch of ours sees it any more.
            await self.cluster.delete(PODS, pod, namespace, metadata["uid"])
        return True

    async def _create_model(self, manifest: Json, namespace: str) -> None:
        """Create a profile, or find that it was created before."""
        try:
            model = await self.cluster.create(MODEL_PROFILES, manifest, namespace)
        except Conflict:
            found = await self.cluster.get(MODEL_PROFILES, manifest["metadata"]["name"], namespace)
            if found is None:
                raise  # there is none: somebody has to try again
            model = found
        self.store.take_model(model)

    async def _learn_memory(self, namespace: str, model: str, needs_bytes: int) -> None:
        """Write into a profile what its model needs at least, unless it says as much already."""
        known = self.store.models.get(namespaced_key(namespace, model))
        if known is None or (known.status.needs_memory_bytes or 0) >= needs_bytes:
            return
        patch = {"status": {"needsMemoryBytes": needs_bytes}}
        written = await self.cluster.patch(
            MODEL_PROFILES, model, namespace, patch, subresource="status"
        )
        self.store.take_model(written)

    async def _create_pod(self, task: InferenceTask, step: Action, manifest: Json) -> Action:
        """Create the attempt's pod, or find that it was created before."""
        namespace, ours = task.metadata["namespace"], True
        try:
            pod = await self.cluster.create(PODS, manifest, namespace)
        except Conflict:
            found = await self.cluster.get(PODS, manifest["metadata"]["name"], namespace)
            if found is None:
                raise
            pod, ours = found, False
        except InvalidInput as error:
            return reject_invalid_pod(self._sight(_key_of(task), task), str(error))
        except NamespaceTerminating:
            raise
        except Forbidden as error:
            if (bare := without_cache(manifest)) is not None:
                # A namespace under a pod security standard lets no folder of the node in.
                return await self._create_pod(task, step, bare)
            return self._put_off(task, step, str(error))
        metadata = pod["metadata"]
        if self.store.take_pod(pod) != _key_of(task) or not _owns(task, pod):
            if ours:
                await self.cluster.delete(PODS, metadata["name"], namespace, metadata["uid"])
                return self._put_off(task, step, MUTILATED)
            # Somebody else's pod has that name: take the next one.
            return replace(step, status=next_incarnation(step.status), look_again_s=0.0)
        self.window.made(_key_of(task))
        made = {"pod": metadata["name"], "pod_uid": metadata["uid"]}
        return replace(step, status=step.status.model_copy(update=made))

    def _put_off(self, task: InferenceTask, step: Action, why: str) -> Action:
        """Leave the place in the window to others, and say what is wrong."""
        key, now_s = _key_of(task), self.clock()
        if QUOTA in why:
            self.window.is_full(task.metadata["namespace"], now_s)
        else:
            # Of everybody's pods, it is our rights that are missing: an alert counts these.
            self.metrics.reconcile_errors.labels("task").inc()
            self.window.refused(key, now_s)
        return pod_rejected(self._sight(key, task), step, why)

    async def _tell(self, task: InferenceTask, notice: Notice) -> None:
        await self.events.tell("InferenceTask", task.metadata, notice, self.clock())

    async def _write(self, task: InferenceTask, status: InferenceTaskStatus) -> None:
        """Write the status if it differs, only over the version it was made from."""
        if status == task.status:
            return
        wanted = status.model_dump(by_alias=True, mode="json")
        known = task.status.model_dump(by_alias=True, mode="json")
        patch = {
            "metadata": {"resourceVersion": task.metadata["resourceVersion"]},
            "status": merge_patch(known, wanted),
        }
        written = await self.cluster.patch(
            INFERENCE_TASKS, *_name_of(task), patch=patch, subresource="status"
        )
        self.store.hearing.wrote("InferenceTask", task.metadata, written["metadata"])
        self.store.take_task(written)
        count_phase(self.metrics, self.store, task, status)


def _owns(task: InferenceTask, pod: Json) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(each["uid"] == task.metadata["uid"] for each in owners)


def _key_of(task: InferenceTask) -> str:
    return f"{task.metadata['namespace']}/{task.metadata['name']}"


def _name_of(task: InferenceTask) -> tuple[str, str]:
    return task.metadata["name"], task.metadata["namespace"]
