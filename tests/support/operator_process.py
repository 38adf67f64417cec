"""An operator that can be killed, on a cluster in memory that is kept."""

from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from acesniper.api.names import (
    DEVICE_PROFILES,
    EVENTS,
    INFERENCE_TASKS,
    MODEL_PROFILES,
    NODES,
    PODS,
)
from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import InferenceTask, Phase
from acesniper.operator.admission_window import AdmissionWindow
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import OperatorMetrics
from acesniper.operator.task.reconciler import TaskReconciler
from acesniper.runtime.events import EventRecorder
from fake_cluster import FakeCluster
from virtual_time import Clock

KEY = "default/t"
SUCCEEDED: Json = {"phase": "Succeeded"}
FAILED: Json = {"phase": "Failed"}


class Killed(BaseException):
    """The process was killed just after a call reached the API server."""


@dataclass
class Operator:
    """An operator that can be killed, and its cluster."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = OperatorMetrics.on(self.registry)
        self.start()

    def start(self) -> None:
        """Start a new process, which has only what the API server lists."""
        self.store = ObjectCache()
        self.see()
        self.tasks = TaskReconciler(
            cluster=self.cluster,
            store=self.store,
            window=AdmissionWindow(self.store, 100),
            metrics=self.metrics,
            events=EventRecorder(self.cluster, "test"),
            image="runner:1",
            clock=self.clock,
        )

    def see(self) -> None:
        """Deliver the objects of the cluster to the cache, as the watches do."""
        for obj in self.cluster.all(INFERENCE_TASKS):
            self.store.upsert_task(obj)
        for obj in self.cluster.all(MODEL_PROFILES):
            self.store.upsert_model(obj)
        for obj in self.cluster.all(DEVICE_PROFILES):
            self.store.upsert_device(obj)
        self.store.nodes = {node["metadata"]["name"]: node for node in self.cluster.all(NODES)}
        alive = {pod["metadata"]["uid"] for pod in self.cluster.all(PODS)}
        for pods in list(self.store.pods.values()):
            for view, known in list(pods.values()):
                if view.uid not in alive:
                    self.store.delete_pod(known)
        for obj in self.cluster.all(PODS):
            self.store.upsert_pod(obj)

    async def settle(self) -> None:
        """Reconcile until no task is due."""
        for _ in range(20):
            self.see()
            before = len(self.cluster._history)
            again_s = await self.tasks.reconcile(KEY)
            if again_s != 0.0 and len(self.cluster._history) == before:
                return
        raise AssertionError("it does not come to rest")

    @property
    def task(self) -> InferenceTask:
        return InferenceTask.model_validate(self.cluster.one(INFERENCE_TASKS, "t", "default"))

    @property
    def phase(self) -> Phase | None:
        return self.task.status.phase

    @property
    def pod(self) -> Json:
        (pod,) = [
            pod
            for pod in self.cluster.all(PODS)
            if pod["status"]["phase"] not in ("Succeeded", "Failed")
        ]
        return pod

    def change_pod(self, **patch: Any) -> None:  # noqa: ANN401
        self.cluster.change(PODS, self.pod["metadata"]["name"], "default", patch)

    def reasons(self) -> set[str]:
        return {event["reason"] for event in self.cluster.all(EVENTS)}

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)
