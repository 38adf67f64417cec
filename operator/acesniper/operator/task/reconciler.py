"""Reconciles InferenceTasks: decides on a snapshot of the cache, acts, and writes the status."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from acesniper.api.names import INFERENCE_TASKS, MODEL_PROFILES, PODS
from acesniper.api.objects import Json, merge_patch, namespaced_key
from acesniper.api.v1alpha1 import InferenceTask, InferenceTaskStatus
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
from acesniper.operator.task.lifecycle import (
    next_action,
    pod_invalid,
    pod_name_taken,
    pod_rejected,
    reconcile_failed,
)
from acesniper.operator.task.snapshot import Action, TaskSnapshot, UnschedulableReasons
from acesniper.operator.task.volumes import POD_DEFAULTS, NodeCache, PodDefaults, without_cache
from acesniper.runtime.client import Cluster
from acesniper.runtime.events import EventRecorder

log = logging.getLogger(__name__)

LATE_WATCH_S = 1.0
"""When to requeue a task if the watch is behind the API server."""
MUTATED_POD = (
    "an admission webhook removes the label acesniper.io/task or the owner from the task's pod; "
    "configure it to keep both"
)
REPORT_AFTER_FAILURES = 5
"""Consecutive failures after which a task reports them; most are over sooner."""
QUOTA_EXCEEDED = "exceeded quota"
"""Text of the API server's answer if no other pod of the namespace can be created either."""


@dataclass(slots=True, kw_only=True)
class TaskReconciler:
    """Reconciles one task per call."""

    cluster: Cluster
    store: ObjectCache
    window: AdmissionWindow
    metrics: OperatorMetrics
    events: EventRecorder
    image: str
    clock: Callable[[], float]
    start_patience_s: float = 300.0
    """How long a container may fail to start before the attempt has failed."""
    cache: NodeCache | None = None
    max_task_s: float = 0.0
    """Longest predicted run of a task; 0: no limit."""
    run_limit_factor: float = 0.0
    """Multiple of the longest predicted run after which a run is ended; 0: no limit."""
    run_limit_floor_s: float = 0.0
    defaults: PodDefaults = POD_DEFAULTS
    _unschedulable: UnschedulableReasons = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)
    """Consecutive failures by task."""

    async def reconcile(self, key: str) -> float | None:
        """Take the next action for a task; returns the seconds until it is requeued."""
        task = self.store.tasks.get(key)
        if task is None:
            self._failures.pop(key, None)
            return None
        if task.metadata.get("deletionTimestamp"):
            await self._delete_pods(key, task)
            return None
        action = next_action(self._snapshot(key, task))
        try:
            requeue_after_s = await self._execute(task, action)
        except NamespaceTerminating:
            # Everything in the namespace is being deleted, this task as well.
            return None
        except NotFound:
            if await self.cluster.get(INFERENCE_TASKS, *_name_of(task)) is not None:
                raise
            # The watch missed the deletion.
            count_deleted(self.metrics, task)
            self.store.tasks.pop(key, None)
            return None
        except AcesniperError as error:
            await self._report_failure(key, task, str(error))
            raise
        self._failures.pop(key, None)
        return requeue_after_s

    async def _report_failure(self, key: str, task: InferenceTask, cause: str) -> None:
        """Count a failure, and report it in the status once it has occurred several times."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        if count != REPORT_AFTER_FAILURES:
            return
        current = self.store.tasks.get(key, task)
        with suppress(AcesniperError):  # the API server may be what fails
            await self._execute(current, reconcile_failed(self._snapshot(key, current), cause))

    async def _delete_pods(self, key: str, task: InferenceTask) -> None:
        """Delete the pods of a task that was deleted, but is kept by a finalizer."""
        if "orphan" in (task.metadata.get("finalizers") or ()):
            return  # deleted with --cascade=orphan: the pods stay
        for pod, _ in self.store.owned_pods(key, task.metadata["uid"]).values():
            if not pod.finished and not pod.deleting:
                await self.cluster.delete(PODS, pod.name, pod.namespace, pod.uid)

    def _snapshot(self, key: str, task: InferenceTask) -> TaskSnapshot:
        return TaskSnapshot(
            task=task,
            pods=self.store.owned_pods(key, task.metadata["uid"]),
            models=self.store.namespace_models(task.metadata["namespace"]),
            may_queue=key in self.window,
            now_s=self.clock(),
            image=self.image,
            defaults=self.defaults,
            cache=self.cache,
            nodes=self.store.nodes,
            devices=self.store.devices,
            start_patience_s=self.start_patience_s,
            volumes=self.store.volumes,
            unschedulable=self._unschedulable,
            max_task_s=self.max_task_s,
            run_limit_factor=self.run_limit_factor,
            run_limit_floor_s=self.run_limit_floor_s,
        )

    async def _execute(self, task: InferenceTask, action: Action) -> float | None:
        """Execute an action in the order of its fields."""
        name, namespace = _name_of(task)
        if action.confirm_gone and await self._pod_exists(task, action.confirm_gone):
            return LATE_WATCH_S
        if action.create_model is not None:
            await self._create_model(action.create_model, namespace)
        if action.learn_memory is not None:
            await self._learn_memory(namespace, *action.learn_memory)
        if action.delete_pod is not None:
            pod, grace_s = action.delete_pod, 0 if action.force else None
            await self.cluster.delete(PODS, pod.name, pod.namespace, uid=pod.uid, grace_s=grace_s)
        if action.delete_task:
            await self.cluster.delete(INFERENCE_TASKS, name, namespace, task.metadata["uid"])
            return None
        if action.create_pod is not None:
            action = await self._create_pod(task, action, action.create_pod)
        await self._write(task, action.status)
        for notice in action.notices:
            await self.events.record("InferenceTask", task.metadata, notice, self.clock())
        return action.requeue_after_s

    async def _pod_exists(self, task: InferenceTask, name: str) -> bool:
        """Whether the API server still has a pod of the task, which is then cached."""
        namespace = task.metadata["namespace"]
        pod = await self.cluster.get(PODS, name, namespace)
        if pod is None or not _owns(task, pod):
            return False
        metadata = pod["metadata"]
        if self.store.upsert_pod(pod) is None and not metadata.get("deletionTimestamp"):
            # Its task label was removed, so the watch no longer delivers it.
            await self.cluster.delete(PODS, name, namespace, metadata["uid"])
        return True

    async def _create_model(self, manifest: Json, namespace: str) -> None:
        """Create a ModelProfile, or get it if it exists."""
        try:
            model = await self.cluster.create(MODEL_PROFILES, manifest, namespace)
        except Conflict:
            name = manifest["metadata"]["name"]
            existing = await self.cluster.get(MODEL_PROFILES, name, namespace)
            if existing is None:
                raise  # deleted meanwhile: retry
            model = existing
        self.store.upsert_model(model)

    async def _learn_memory(self, namespace: str, model: str, needs_bytes: int) -> None:
        """Raise a ModelProfile's needsMemoryBytes to what its model needs at least."""
        profile = self.store.models.get(namespaced_key(namespace, model))
        if profile is None or (profile.status.needs_memory_bytes or 0) >= needs_bytes:
            return
        patch = {"status": {"needsMemoryBytes": needs_bytes}}
        written = await self.cluster.patch(
            MODEL_PROFILES, model, namespace, patch, subresource="status"
        )
        self.store.upsert_model(written)

    async def _create_pod(self, task: InferenceTask, action: Action, manifest: Json) -> Action:
        """Create the attempt's pod, or get it if it exists."""
        namespace, created = task.metadata["namespace"], True
        try:
            pod = await self.cluster.create(PODS, manifest, namespace)
        except Conflict:
            existing = await self.cluster.get(PODS, manifest["metadata"]["name"], namespace)
            if existing is None:
                raise
            pod, created = existing, False
        except InvalidInput as error:
            return pod_invalid(self._snapshot(_key_of(task), task), str(error))
        except NamespaceTerminating:
            raise
        except Forbidden as error:
            if (uncached := without_cache(manifest)) is not None:
                # Pod security standards forbid hostPath volumes.
                return await self._create_pod(task, action, uncached)
            return self._pod_rejected(task, action, str(error))
        return await self._with_pod(task, action, pod, created=created)

    async def _with_pod(
        self, task: InferenceTask, action: Action, pod: Json, *, created: bool
    ) -> Action:
        """The action with the pod in its status, if the pod is the task's."""
        metadata = pod["metadata"]
        if self.store.upsert_pod(pod) == _key_of(task) and _owns(task, pod):
            self.window.pod_created(_key_of(task))
            update = {"pod": metadata["name"], "pod_uid": metadata["uid"]}
            return replace(action, status=action.status.model_copy(update=update))
        if created:
            name, namespace = metadata["name"], task.metadata["namespace"]
            await self.cluster.delete(PODS, name, namespace, metadata["uid"])
            return self._pod_rejected(task, action, MUTATED_POD)
        # Another owner's pod has this name: use the next name.
        return pod_name_taken(action)

    def _pod_rejected(self, task: InferenceTask, action: Action, cause: str) -> Action:
        """Leave the admission window for a while, and report the cause."""
        key, now_s = _key_of(task), self.clock()
        if QUOTA_EXCEEDED in cause:
            self.window.quota_exceeded(task.metadata["namespace"], now_s)
        else:
            # If every pod is rejected, permissions are missing: an alert counts these errors.
            self.metrics.reconcile_errors.labels("task").inc()
            self.window.pod_rejected(key, now_s)
        return pod_rejected(self._snapshot(key, task), action, cause)

    async def _write(self, task: InferenceTask, status: InferenceTaskStatus) -> None:
        """Write the status if it changed, on condition that the task's version is unchanged."""
        if status == task.status:
            return
        before, after = (
            version.model_dump(by_alias=True, mode="json") for version in (task.status, status)
        )
        patch = {
            "metadata": {"resourceVersion": task.metadata["resourceVersion"]},
            "status": merge_patch(before, after),
        }
        written = await self.cluster.patch(
            INFERENCE_TASKS, *_name_of(task), patch=patch, subresource="status"
        )
        self.store.expect_event("InferenceTask", task.metadata, written["metadata"])
        self.store.upsert_task(written)
        count_phase(self.metrics, self.store, task, status)


def _owns(task: InferenceTask, pod: Json) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == task.metadata["uid"] for owner in owners)


def _key_of(task: InferenceTask) -> str:
    return namespaced_key(task.metadata["namespace"], task.metadata["name"])


def _name_of(task: InferenceTask) -> tuple[str, str]:
    return task.metadata["name"], task.metadata["namespace"]
