"""Plain Kubernetes objects: keys, merge patches, and the fields we use of pods and nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acesniper.api.names import (
    DECISION_ANNOTATION,
    DEVICE_ANNOTATION,
    MODEL_LABEL,
    PLAN_GATE,
    REFUSED_ANNOTATION,
    SLOT_RESOURCE,
    TASK_LABEL,
)
from acesniper.api.units import epoch_s, parse_count
from acesniper.domain.reservations import PodUid

Json = dict[str, Any]
"""A JSON object, such as a Kubernetes manifest."""


def namespaced_key(namespace: str | None, name: str) -> str:
    """`namespace/name`, or `name` for a cluster-scoped object."""
    return f"{namespace}/{name}" if namespace else name


def object_key(obj: Mapping[str, Any]) -> str:
    """The namespaced key of an object, from its metadata."""
    metadata = obj["metadata"]
    return namespaced_key(metadata.get("namespace"), metadata["name"])


@dataclass(frozen=True, slots=True)
class PodView:
    """The fields of a pod that decisions depend on."""

    uid: PodUid
    namespace: str
    name: str
    phase: str
    resource_version: str
    task: str | None = None
    model: str | None = None
    gated: bool = False
    node: str | None = None
    device: str | None = None
    decision: str | None = None
    refused: str | None = None
    priority: int = 0
    bound_s: float | None = None
    deleting: bool = False
    slots: int = 0
    image: str = ""
    other_gates: tuple[str, ...] = ()
    affinity: Mapping[str, Any] = field(default_factory=dict)
    node_selector: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """The namespaced key of the pod."""
        return namespaced_key(self.namespace, self.name)

    @property
    def finished(self) -> bool:
        """Whether the pod has succeeded or failed."""
        return self.phase in ("Succeeded", "Failed")

    @classmethod
    def of(cls, pod: Mapping[str, Any]) -> "PodView":
        """Read a pod object."""
        metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
        labels = metadata.get("labels") or {}
        annotations = metadata.get("annotations") or {}
        gates = [gate["name"] for gate in spec.get("schedulingGates") or ()]
        return cls(
            uid=PodUid(metadata["uid"]),
            namespace=metadata["namespace"],
            name=metadata["name"],
            phase=status.get("phase", "Pending"),
            resource_version=metadata.get("resourceVersion", ""),
            task=labels.get(TASK_LABEL),
            model=labels.get(MODEL_LABEL),
            gated=PLAN_GATE in gates,
            node=spec.get("nodeName"),
            device=annotations.get(DEVICE_ANNOTATION),
            decision=annotations.get(DECISION_ANNOTATION),
            refused=annotations.get(REFUSED_ANNOTATION),
            priority=spec.get("priority") or 0,
            bound_s=_bound_s(status) if spec.get("nodeName") else None,
            deleting=metadata.get("deletionTimestamp") is not None,
            slots=_slots(spec),
            image=str((spec.get("containers") or [{}])[0].get("image") or ""),
            other_gates=tuple(name for name in gates if name != PLAN_GATE),
            affinity=spec.get("affinity") or {},
            node_selector=tuple(sorted((spec.get("nodeSelector") or {}).items())),
        )


def _bound_s(status: Mapping[str, Any]) -> float | None:
    """When the pod was bound; without a PodScheduled condition, when its node accepted it."""
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    bound = scheduled.get("lastTransitionTime") if scheduled.get("status") == "True" else None
    when = bound or status.get("startTime")
    return epoch_s(when) if when else None


def _slots(spec: Mapping[str, Any]) -> int:
    """Slots that a pod requests: `acesniper.io/slot` over its containers."""
    return sum(
        parse_count((container.get("resources", {}).get("limits") or {}).get(SLOT_RESOURCE))
        for container in spec.get("containers", ())
    )


@dataclass(frozen=True, slots=True)
class NodeView:
    """The fields of a node that decisions depend on."""

    schedulable: bool
    labels: Mapping[str, str]

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> "NodeView":
        """Read a node object."""
        conditions = node.get("status", {}).get("conditions") or ()
        ready = any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in conditions
        )
        cordoned = bool(node.get("spec", {}).get("unschedulable"))
        return cls(ready and not cordoned, node["metadata"].get("labels") or {})


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest JSON merge patch (RFC 7386) from `before` to `after`.

    A removed key is set to null; without that, the merge would keep it.
    """
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if key in before and old == value:
            continue
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        patch[key] = merge_patch(old or {}, value) if both else value
    return patch
