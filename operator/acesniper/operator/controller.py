"""The controller: turns watch events into keys, and keys into calls of their reconciler."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.objects import PodView, object_key
from acesniper.api.v1alpha1 import FINISHED, DeviceProfile
from acesniper.operator.admission_window import AdmissionWindow
from acesniper.operator.cache import ObjectCache
from acesniper.operator.degraded import DegradedMode
from acesniper.operator.device_profiles import DeviceReconciler
from acesniper.operator.metrics import OperatorMetrics, count_deleted
from acesniper.operator.model_profiles import ModelReconciler
from acesniper.operator.progress import ProgressFollower
from acesniper.operator.task.reconciler import TaskReconciler
from acesniper.operator.workqueue import ReadyKeys, WorkQueue
from acesniper.runtime.skipped import DELETE, SkippedObjects

Key = tuple[str, str]
"""(kind, object key)."""
TASK, MODEL, DEVICE, NODE = "task", "model", "device", "node"
WINDOW_INTERVAL_S = 0.2
"""Interval between refreshes of the admission window."""
WINDOW_PAUSE_FACTOR = 20.0
"""Pause after a refresh, at least this multiple of the time it took."""
DEVICE_CHANGE_DELAY_S = 5.0
"""Delay of latencies per device class after a change of a device: those come in bursts."""
OBSERVATION_DELAY_S = 1.0
"""Runs that finish within this time are written into a device's profile together."""
RESYNC_S = 300.0
"""Interval at which all objects are reconciled without an event."""


@dataclass(slots=True)
class Controller:
    """Reconciles all kinds; models have a queue of their own, since each may take minutes."""

    store: ObjectCache
    window: AdmissionWindow
    tasks: TaskReconciler
    models: ModelReconciler
    devices: DeviceReconciler
    metrics: OperatorMetrics
    clock: Callable[[], float]
    degraded: DegradedMode
    progress: ProgressFollower | None = None
    may_act: Callable[[], bool] = lambda: True
    """Whether this operator holds the lease; checked before each reconciliation."""
    model_order: ReadyKeys[Key] | None = None
    """The order of models; by default first come, first served."""
    skipped: SkippedObjects = field(default_factory=SkippedObjects)
    queue: WorkQueue[Key] = field(init=False)
    models_queue: WorkQueue[Key] = field(init=False)

    def __post_init__(self) -> None:
        self.queue = WorkQueue(self._reconcile, self._failed)
        self.models_queue = WorkQueue(self._reconcile, self._failed, self.model_order)

    # --- events --------------------------------------------------------------------------------

    def task_event(self, gone: bool, obj: Mapping[str, Any]) -> None:
        """Handle a watch event of an InferenceTask. Raises InvalidInput, as the others do."""
        self._received("InferenceTask")
        key = object_key(obj)
        if gone:
            task = self.store.tasks.get(key)
            if task is not None and task.metadata["uid"] == obj["metadata"]["uid"]:
                count_deleted(self.metrics, task)
            self.store.delete_task(obj)
        else:
            self.store.upsert_task(obj)
            self.queue.add((TASK, key))
            task = self.store.tasks[key]
            device = self.devices.note(task)
            if device is not None:
                self.queue.add_after((DEVICE, device), OBSERVATION_DELAY_S)
            if task.status.phase in FINISHED:
                self.store.compact_task(key)

    def model_event(self, gone: bool, obj: Mapping[str, Any]) -> None:
        """Handle a watch event of a ModelProfile, and requeue the tasks that wait for it."""
        self._received("ModelProfile")
        key = object_key(obj)
        if gone:
            self.store.delete_model(obj)
            self.metrics.model_error_ratio.remove(key)
        else:
            self.store.upsert_model(obj)
            self.models_queue.add((MODEL, key))
        for task in self.store.tasks_waiting_for_model(key):
            self.queue.add((TASK, task))

    def device_event(self, gone: bool, obj: Mapping[str, Any]) -> None:
        """Handle a watch event of a DeviceProfile, and requeue its node."""
        self._received("DeviceProfile")
        name = object_key(obj)
        before = self.store.devices.get(name)
        if gone:
            self.store.delete_device(obj)
            self.metrics.profile_noise.remove(name)
            self.metrics.device_error_ratio.remove(name)
        else:
            self.store.upsert_device(obj)
            self.queue.add((DEVICE, name))
        after = self.store.devices.get(name)
        for node in {profile.spec.node for profile in (before, after) if profile is not None}:
            self.queue.add((NODE, node))
        if before is not None and after is not None and _probed_again(before, after):
            self.metrics.reprobes.inc()
        if _measurement(before) != _measurement(after):
            for model in self.store.models:
                self.models_queue.add_after((MODEL, model), DEVICE_CHANGE_DELAY_S)

    def device_change(self, change: str, obj: Mapping[str, Any]) -> None:
        """Handle a change of a DeviceProfile."""
        self.device_event(change == DELETE, obj)

    def predictor_replaced(self) -> None:
        """Requeue all models: a new predictor changes their latencies per device class."""
        for model in self.store.models:
            self.models_queue.add((MODEL, model))

    def node_change(self, change: str, obj: Mapping[str, Any]) -> None:
        """Handle a change of a node; requeue its tasks if its readiness changed."""
        self._received("Node")
        name = str(obj["metadata"]["name"])
        before = self.store.nodes.get(name)
        if change == DELETE:
            self.store.nodes.pop(name, None)
        else:
            self.store.upsert_node(obj)
            self.queue.add((NODE, name))
        if _readiness(before) != _readiness(self.store.nodes.get(name)):
            for task in self.store.tasks_on_node(name):
                self.queue.add((TASK, task))

    def priority_change(self, change: str, obj: Mapping[str, Any]) -> None:
        """Handle a change of a PriorityClass."""
        name = str(obj["metadata"]["name"])
        if change == DELETE:
            self.store.priorities.pop(name, None)
        else:
            self.store.priorities[name] = int(obj.get("value", 0))

    def pod_change(self, change: str, obj: Mapping[str, Any]) -> None:
        """Handle a change of a task's pod."""
        self._received("Pod")
        gone = change == DELETE
        task = self.store.delete_pod(obj) if gone else self.store.upsert_pod(obj)
        if task is not None:
            self.queue.add((TASK, task))
            if gone or PodView.of(obj).finished:
                self.window.quota_available(str(obj["metadata"]["namespace"]))

    # --- workers ----------------------------------------------------------------------------------

    async def run(self, workers: int, *, model_workers: int) -> None:
        """Reconcile until cancelled; `model_workers` models are fetched at the same time."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run(workers))
            group.create_task(self.models_queue.run(model_workers))
            group.create_task(self._refresh_window())
            group.create_task(self._resync())
            group.create_task(self.degraded.run())
            reports = self.skipped.report(self.tasks.events.record, self.clock, self.may_act)
            group.create_task(reports)
            if self.progress is not None:
                group.create_task(self.progress.run())

    async def _refresh_window(self) -> None:
        while True:
            started_s = time.perf_counter()
            for key in self.window.refresh(self.clock()):
                self.queue.add((TASK, key))
            took_s = time.perf_counter() - started_s
            await asyncio.sleep(max(WINDOW_INTERVAL_S, WINDOW_PAUSE_FACTOR * took_s))

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(RESYNC_S)
            self.resync()

    def resync(self) -> None:
        """Requeue all objects: periodically, and when this operator acquires the lease."""
        for kind, keys in (
            (TASK, self.store.tasks),
            (MODEL, self.store.models),
            (DEVICE, self.store.devices),
            (NODE, self.store.nodes),
        ):
            queue = self.models_queue if kind == MODEL else self.queue
            for key in keys:
                queue.add((kind, key))
        self.skipped.report_again()

    async def _reconcile(self, key: Key) -> float | None:
        kind, name = key
        if not self.may_act():
            return None  # acquiring the lease requeues all objects
        started_s = time.perf_counter()
        try:
            match kind:
                case "task":
                    return await self.tasks.reconcile(name)
                case "model":
                    return await self.models.reconcile(name)
                case "device":
                    return await self.devices.reconcile(name)
            await self.devices.reconcile_node(name)
            return None
        finally:
            self.metrics.reconcile_seconds.labels(kind).observe(time.perf_counter() - started_s)

    def _failed(self, key: Key) -> None:
        self.metrics.reconcile_errors.labels(key[0]).inc()

    def _received(self, kind: str) -> None:
        self.store.liveness.received(kind)
        self.metrics.last_event_seconds.labels(kind).set(self.clock())


def _readiness(node: Mapping[str, Any] | None) -> str | None:
    """The status of a node's condition Ready; None if the node does not exist."""
    if node is None:
        return None
    conditions = node["status"].get("conditions") or ()
    return next(
        (str(condition["status"]) for condition in conditions if condition["type"] == "Ready"), ""
    )


def _probed_again(before: DeviceProfile, after: DeviceProfile) -> bool:
    """Whether a device that had been probed was probed again."""
    was, now = before.status.measured_at, after.status.measured_at
    return was is not None and now is not None and was != now


def _measurement(profile: DeviceProfile | None) -> tuple[object, ...]:
    """What latencies per device class depend on; observed runs are no part of it."""
    if profile is None:
        return ()
    status = profile.status
    return profile.metadata.get("uid"), profile.spec.provider, status.measured_at, status.readings
