"""Cache of the cluster's tasks, their pods, models, devices and nodes.

The answer to a write is cached at once; an older version that a watch delivers later is ignored.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from acesniper.api import convert
from acesniper.api.names import DECISION_ANNOTATION, TASK_LABEL, Kind
from acesniper.api.objects import DecisionKey, PodView, namespaced_key, object_key
from acesniper.api.pod_rules import rules_by_node
from acesniper.api.reasons import ConditionType
from acesniper.api.v1alpha1 import FINISHED, ApiType, DeviceProfile, InferenceTask, ModelProfile
from acesniper.api.volume_rules import VolumeIndex
from acesniper.domain.device import NodeName
from acesniper.domain.scheduling_rules import NodeRules
from acesniper.runtime.skipped import DELETE
from acesniper.runtime.watch import WatchLiveness

log = logging.getLogger(__name__)

Object = Mapping[str, Any]
UNUSED_METADATA = "managedFields"
"""Half of an object's size."""
OWNED = ("name", "namespace", "uid", "resourceVersion", "ownerReferences")
"""Metadata of the pods of a finished task that is still needed."""


@dataclass(slots=True)
class ObjectCache:
    """Objects by key; pods by the key of their task, then by name."""

    tasks: dict[str, InferenceTask] = field(default_factory=dict)
    models: dict[str, ModelProfile] = field(default_factory=dict)
    devices: dict[str, DeviceProfile] = field(default_factory=dict)
    nodes: dict[str, Object] = field(default_factory=dict)
    pods: dict[str, dict[str, tuple[PodView, Object]]] = field(default_factory=dict)
    volumes: VolumeIndex = field(default_factory=VolumeIndex)
    priorities: dict[str, int] = field(default_factory=dict)
    """Values of PriorityClasses by name."""
    key: DecisionKey | None = None
    """Verifies the planner's decisions; None: they are taken as they are."""
    liveness: WatchLiveness = field(default_factory=WatchLiveness)

    def expect_event(self, kind: str, before: Object, after: Object) -> None:
        """Expect an event if a write changed an object; takes its metadata before and after."""
        if before.get("resourceVersion") != after.get("resourceVersion"):
            self.liveness.expect(kind)

    def upsert_task(self, obj: Object) -> str:
        """Add or update a task; returns its key."""
        return self._upsert(self.tasks, obj, InferenceTask)

    def compact_task(self, key: str) -> None:
        """Drop most of a finished task: thousands of them may exist, and they no longer change."""
        task = self.tasks[key]
        dropped = {"decision": None, "predicted": None, "observed": None, "message": None}
        finished = [
            condition
            for condition in task.status.conditions
            if condition.type == ConditionType.FINISHED
        ]
        status = task.status.model_copy(update={**dropped, "conditions": finished})
        self.tasks[key] = task.model_copy(update={"status": status})
        for name, (view, pod) in self.pods.get(key, {}).items():
            compact = replace(view, decision=None, affinity={})
            metadata = {field_name: pod["metadata"].get(field_name) for field_name in OWNED}
            self.pods[key][name] = compact, {"metadata": metadata, "spec": {}, "status": {}}

    def upsert_model(self, obj: Object) -> str:
        """Add or update a ModelProfile; returns its key."""
        return self._upsert(self.models, obj, ModelProfile)

    def upsert_device(self, obj: Object) -> str:
        """Add or update a DeviceProfile; returns its key."""
        return self._upsert(self.devices, obj, DeviceProfile)

    def upsert_node(self, obj: Object) -> None:
        """Add or update a node, trimmed to the fields that decisions use."""
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        self.nodes[str(metadata["name"])] = {
            "metadata": {"name": metadata["name"], "labels": metadata.get("labels") or {}},
            "spec": {
                "unschedulable": spec.get("unschedulable"),
                "taints": spec.get("taints") or [],
                "podCIDRs": spec.get("podCIDRs") or [],
            },
            "status": obj.get("status", {}),
        }

    def volume_change(self, kind: Kind, change: str, obj: Object) -> None:
        """Apply a change of a volume claim, volume or storage class."""
        self.volumes.apply(kind, obj, deleted=change == DELETE)

    def node_rules(self) -> dict[NodeName, NodeRules]:
        """What kube-scheduler's filters read of each node."""
        return rules_by_node(self.nodes)

    def cluster_networks(self) -> Iterator[IPv4Network | IPv6Network]:
        """Addresses of nodes and pods, which may be public ones."""
        for node in self.nodes.values():
            addresses = node["status"].get("addresses") or ()
            for text in (*node["spec"]["podCIDRs"], *(address["address"] for address in addresses)):
                with suppress(ValueError):  # a host name
                    yield ip_network(text, strict=False)

    def delete_task(self, obj: Object) -> None:
        """Delete a task."""
        _delete(self.tasks, obj)

    def delete_model(self, obj: Object) -> None:
        """Delete a ModelProfile."""
        _delete(self.models, obj)

    def delete_device(self, obj: Object) -> None:
        """Delete a DeviceProfile."""
        _delete(self.devices, obj)

    def upsert_pod(self, obj: Object) -> str | None:
        """Add or update a pod; returns the key of its task, None for a pod without a task."""
        view = PodView.of(obj)
        if self.key is not None:
            view = self.key.verified(view)
        if view.task is None:
            return None
        task = namespaced_key(view.namespace, view.task)
        pods = self.pods.setdefault(task, {})
        cached = pods.get(view.name)
        if cached is None or cached[0].uid != view.uid or not _is_older(obj, cached[1]):
            pods[view.name] = (view, _trimmed(obj))
        return task

    def delete_pod(self, obj: Object) -> str | None:
        """Delete a pod; returns the key of its task."""
        metadata = obj["metadata"]
        uid, name = metadata["uid"], metadata["name"]
        labelled = f"{metadata['namespace']}/{(metadata.get('labels') or {}).get(TASK_LABEL)}"
        # If its label was changed, search all tasks.
        for task in [labelled] if name in self.pods.get(labelled, {}) else self.pods:
            pods = self.pods[task]
            if (cached := pods.get(name)) is not None and cached[0].uid == uid:
                del pods[name]
                if not pods:
                    del self.pods[task]
                return task
        return None

    def owned_pods(self, key: str, uid: str) -> dict[str, tuple[PodView, Object]]:
        """The pods that a task owns, by name."""
        return {
            name: (view, obj)
            for name, (view, obj) in self.pods.get(key, {}).items()
            if any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences") or ())
        }

    def namespace_models(self, namespace: str) -> "NamespaceModels":
        """The ModelProfiles of a namespace, by name."""
        return NamespaceModels(self.models, namespace)

    def tasks_waiting_for_model(self, model: str) -> list[str]:
        """Keys of unfinished tasks that name a ModelProfile or may use a variant of it."""
        namespace, _, name = model.partition("/")
        return [
            key
            for key, task in self.tasks.items()
            if task.metadata["namespace"] == namespace
            and task.status.phase not in FINISHED
            and (task.spec.model is None or name.startswith(task.spec.model[:40].rstrip("-.")))
        ]

    def tasks_on_node(self, node: str) -> list[str]:
        """Keys of the tasks that have an unfinished pod on a node."""
        return [
            task
            for task, pods in self.pods.items()
            if any(view.node == node and not view.finished for view, _ in pods.values())
        ]

    def node_slots(self, node: str) -> int:
        """Number of tasks that the devices of a node run at the same time."""
        return sum(
            device.spec.slots for device in self.devices.values() if device.spec.node == node
        )

    def _upsert(self, cached: dict[str, Any], obj: Object, kind: type[ApiType]) -> str:
        key = object_key(obj)
        before = cached.get(key)
        same = before is not None and before.metadata["uid"] == obj["metadata"]["uid"]
        if before is None or not same or not _is_older(obj, {"metadata": before.metadata}):
            cached[key] = convert.parse_resource(kind, {**obj, "metadata": _metadata(obj)})
        return key


@dataclass(frozen=True, slots=True)
class NamespaceModels(Mapping[str, ModelProfile]):
    """A view of the ModelProfiles of one namespace, by name."""

    models: Mapping[str, ModelProfile]
    namespace: str

    def __getitem__(self, name: str) -> ModelProfile:
        return self.models[namespaced_key(self.namespace, name)]

    def __iter__(self) -> Iterator[str]:
        prefix = f"{self.namespace}/"
        return (key[len(prefix) :] for key in self.models if key.startswith(prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _trimmed(pod: Object) -> Object:
    """A pod trimmed to the fields that are used: thousands of complete pods need too much memory.

    The decision is in the pod's view; of the spec, only containers and limits are used.
    """
    metadata = _metadata(pod)
    annotations = metadata.get("annotations") or {}
    if DECISION_ANNOTATION in annotations:
        kept = {name: value for name, value in annotations.items() if name != DECISION_ANNOTATION}
        metadata["annotations"] = kept
    spec = {"containers": pod["spec"].get("containers") or []}
    for used in ("initContainers", "resources", "activeDeadlineSeconds"):
        if pod["spec"].get(used) is not None:
            spec[used] = pod["spec"][used]
    return {"metadata": metadata, "spec": spec, "status": pod.get("status", {})}


def _metadata(obj: Object) -> dict[str, Any]:
    return {name: value for name, value in obj["metadata"].items() if name != UNUSED_METADATA}


def _delete(cached: dict[str, Any], obj: Object) -> None:
    """Delete an object, but not a newer one of the same name."""
    key = object_key(obj)
    if (before := cached.get(key)) is not None and before.metadata["uid"] == obj["metadata"]["uid"]:
        del cached[key]


def _is_older(left: Object, right: Object) -> bool:
    """Whether `left` is an older version of the same object; versions are comparable numbers."""
    first, second = (int(obj["metadata"].get("resourceVersion") or "0") for obj in (left, right))
    return first < second
