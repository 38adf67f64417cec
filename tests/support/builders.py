"""Builders of domain objects and manifests; every field has a default."""

import hashlib
from collections.abc import Mapping, Sequence
from math import log, nan
from typing import Any

import numpy as np

from acesniper.api.decision import Decision
from acesniper.api.names import (
    API_VERSION,
    ATTEMPT_LABEL,
    MODEL_LABEL,
    PLAN_GATE,
    SLOT_RESOURCE,
    TASK_LABEL,
)
from acesniper.api.objects import DecisionKey, Json
from acesniper.api.units import rfc3339
from acesniper.domain.device import Device, DeviceId, HardwareVector, NodeName
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Explanation, Prediction
from acesniper.domain.scheduling_rules import LabelRequirement, NodeRules, PodRules
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.policies.estimates import Estimates, FleetSnapshot, PredictionRow, StartRow
from acesniper.predictor.base import LatencyArrays, Observation, Observations

SHA256 = "a" * 64
TEST_KEY = DecisionKey(b"t" * 32)
"""Signs the decisions of `make_pod`."""
EPOCH = "1970-01-01T00:00:00Z"


# --- the domain ------------------------------------------------------------------------------


def make_task(key: str = "default/task", model: str = "default/model", **rest: Any) -> Task:  # noqa: ANN401
    rest.setdefault("created_s", 0.0)
    return Task(key=TaskKey(key), model=ModelKey(model), **rest)


def make_device(
    name: str = "d1",
    node: str | None = None,
    *,
    slots: int = 1,
    provider: str = "cpu",
    memory_bytes: int = 0,
    schedulable: bool = True,
) -> Device:
    """A device, by default on its own node."""
    on = NodeName(node or f"node-{name}")
    return Device(DeviceId(name), on, provider, slots, memory_bytes, schedulable)


def selecting(**labels: str) -> PodRules:
    """The rules of a pod with a node selector."""
    items = sorted(labels.items())
    return PodRules(tuple(LabelRequirement(key, "In", (value,)) for key, value in items))


def make_prediction(latency_s: float = 1.0, low_s: float | None = None) -> Prediction:
    low_s = latency_s / 2 if low_s is None else low_s
    return Prediction(latency_s, low_s, latency_s * 2, "test")


def make_snapshot(
    devices: Sequence[Device],
    latency: Mapping[str, Mapping[str, float]] | None = None,
    busy: Mapping[str, Sequence[float]] | None = None,
    labels: Mapping[str, Mapping[str, str]] | None = None,
    now_s: float = 0.0,
    cold_s: float = 0.0,
) -> FleetSnapshot:
    """A snapshot; `latency[model][device]` in seconds, models in namespace `default`."""
    rows = {
        ModelKey(f"default/{model}"): make_row([row.get(device.id, nan) for device in devices])
        for model, row in (latency or {}).items()
    }
    start = StartRow(np.full(len(devices), cold_s), np.zeros(len(devices)))
    estimates = Estimates(
        tuple(devices),
        rows,
        {
            device.node: NodeRules(str(device.node), labels[device.id])
            for device in devices
            if labels and device.id in labels
        },
        dict.fromkeys(rows, start),
    )
    running = {DeviceId(device): tuple(sorted(value)) for device, value in (busy or {}).items()}
    return FleetSnapshot(now_s, estimates, running)


def make_row(latency_s: Sequence[float], spread: float = 2.0) -> PredictionRow:
    """Latencies on each device, NaN where unknown, with an interval of a factor of `spread`."""
    seconds = np.array(latency_s, float)
    return PredictionRow(seconds, seconds / spread, seconds * spread, "test")


class WorkPredictor:
    """Predicts work times pace: `features.values["work"]` times the reading `pace`."""

    source = "test"

    def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
        """The product as the latency, with half and double as the interval."""
        return make_prediction(model.values["work"] * device.readings["pace"].seconds)

    def predict_all(
        self, models: Sequence[ModelFeatures], devices: Sequence[HardwareVector]
    ) -> list[list[Prediction | None]]:
        """All pairs, one by one."""
        return [[self.predict(model, device) for device in devices] for model in models]

    def table(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyArrays:
        """All pairs, NaN where there is no prediction."""
        rows = [
            [prediction.latency_s if prediction else nan for prediction in row]
            for row in self.predict_all(models, devices)
        ]
        latency = np.array(rows, float).reshape(len(models), len(devices))
        return LatencyArrays(latency, np.full_like(latency, log(2.0)))

    def explain(
        self, model: ModelFeatures, device: HardwareVector, observed: Sequence[Observation] = ()
    ) -> Explanation | None:
        """The prediction without reasons."""
        prediction = self.predict(model, device)
        return Explanation(prediction, {}) if prediction else None


# --- manifests -------------------------------------------------------------------------------


def make_itask(
    name: str = "task",
    namespace: str = "default",
    *,
    model: str | None = "model",
    status: Json | None = None,
    metadata: Json | None = None,
    **spec: Any,  # noqa: ANN401 - any field of the spec, camelCase
) -> Json:
    """An InferenceTask as returned by the API server, created at the epoch."""
    given: Json = {"model": model} if model else {}
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceTask",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": EPOCH,
            **(metadata or {}),
        },
        "spec": given | spec,
        "status": status or {},
    }


def condition(kind: str, status: str = "True", reason: str = "Test", at_s: float = 0.0) -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": f"{reason} message",
        "lastTransitionTime": rfc3339(at_s),
        "observedGeneration": 1,
    }


def make_model_profile(
    name: str = "model",
    namespace: str = "default",
    *,
    work: float | None = 1.0,
    version: str = "test",
    status: Json | None = None,
    uri: str = "https://models.example/model.onnx",
    sha256: str = SHA256,
    **spec: Any,  # noqa: ANN401 - any field of the spec, camelCase
) -> Json:
    """A ModelProfile; without features if `work` is None."""
    profiled: Json = {
        "text": f"{work} units of work",
        "featuresVersion": version,
        "features": {"work": work},
        "conditions": [condition("Profiled", reason="Profiled")],
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelProfile",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "resourceVersion": "1",
            "generation": 1,
        },
        "spec": {"source": {"uri": uri, "sha256": sha256}, **spec},
        "status": status if status is not None else profiled if work is not None else {},
    }


def make_device_profile(
    name: str = "d1",
    node: str | None = None,
    *,
    pace: float | None = 1.0,
    spread: float = 0.01,
    measured_at: str | None = EPOCH,
    conditions: Sequence[Json] = (),
    **spec: Any,  # noqa: ANN401 - any field of the spec, camelCase
) -> Json:
    """A DeviceProfile; not measured if `pace` is None."""
    measured: Json = {
        "suite": "hrm",
        "suiteVersion": "1",
        "readings": {"pace": {"seconds": pace, "spread": spread}},
        "measuredAt": measured_at,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "DeviceProfile",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "generation": 1,
        },
        "spec": {"node": node or f"node-{name}", **spec},
        "status": {**(measured if pace is not None else {}), "conditions": list(conditions)},
    }


def make_node(
    name: str = "node-d1",
    *,
    ready: bool = True,
    cordoned: bool = False,
    labels: Mapping[str, str] | None = None,
    slots: int | None = None,
) -> Json:
    machine = {"cpu": "8", "memory": "16Gi", "pods": "110"}
    offered = {} if slots is None else {**machine, SLOT_RESOURCE: str(slots)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "labels": dict(labels or {}),
        },
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "capacity": dict(offered),
            "allocatable": dict(offered),
        },
    }


def make_pod(
    name: str = "pod",
    namespace: str = "default",
    *,
    task: str | None = "task",
    model: str | None = "model",
    uid: str | None = None,
    gates: Sequence[str] = (),
    node: str | None = None,
    device: str | None = None,
    decision: Decision | str | None = None,
    phase: str = "Pending",
    started: str | None = None,
    deleting: bool = False,
    slots: int | str = 1,
    affinity: Json | None = None,
    terminated: Json | None = None,
    resource_version: str = "1",
) -> Json:
    """The pod of a task as returned by the API server; `gates=[PLAN_GATE]` gates it."""
    text = decision.model_dump_json(by_alias=True) if isinstance(decision, Decision) else decision
    labels = {TASK_LABEL: task, MODEL_LABEL: model, ATTEMPT_LABEL: "0" if task else None}
    limits = {SLOT_RESOURCE: str(slots)} if slots else {}
    uid = uid or f"uid-{namespace}-{name}"
    annotations = {}
    if device or text:
        annotations = TEST_KEY.annotations(uid, device or "", text or "")
    metadata: Json = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "resourceVersion": resource_version,
        "labels": {key: value for key, value in labels.items() if value},
        "annotations": {key: value for key, value in annotations.items() if value},
    }
    if task is not None:
        owner = {"kind": "InferenceTask", "name": task, "uid": f"uid-{namespace}-{task}"}
        metadata["ownerReferences"] = [owner]
    if deleting:
        metadata["deletionTimestamp"] = EPOCH
    spec: Json = {"containers": [{"name": "runner", "resources": {"limits": limits}}]}
    if gates:
        spec["schedulingGates"] = [{"name": gate} for gate in gates]
    if node is not None:
        spec["nodeName"] = node
    if affinity is not None:
        spec["affinity"] = affinity
    status: Json = {"phase": phase}
    if started is not None:
        status["startTime"] = started
    if terminated is not None:
        status["containerStatuses"] = [{"name": "runner", "state": {"terminated": terminated}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def make_gated_pod(name: str = "pod", **rest: Any) -> Json:  # noqa: ANN401 - as make_pod
    return make_pod(name, gates=[PLAN_GATE], **rest)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
