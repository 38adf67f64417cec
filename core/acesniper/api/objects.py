"""Plain Kubernetes objects: keys, merge patches, and the fields we use of pods and nodes."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from acesniper.api.names import (
    DECISION_ANNOTATION,
    DECISION_SIGNATURE_ANNOTATION,
    DEVICE_ANNOTATION,
    MODEL_LABEL,
    PLAN_GATE,
    REFUSED_ANNOTATION,
    SLOT_RESOURCE,
    TASK_LABEL,
)
from acesniper.api.units import epoch_s, parse_count
from acesniper.domain.errors import InvalidInput
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
    signature: str | None = None
    refused: str | None = None
    priority: int = 0
    bound_s: float | None = None
    deleting: bool = False
    slots: int = 0
    image: str = ""
    other_gates: tuple[str, ...] = ()
    affinity: Mapping[str, Any] = field(default_factory=dict)

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
            signature=annotations.get(DECISION_SIGNATURE_ANNOTATION),
            refused=annotations.get(REFUSED_ANNOTATION),
            priority=spec.get("priority") or 0,
            bound_s=_bound_s(status) if spec.get("nodeName") else None,
            deleting=metadata.get("deletionTimestamp") is not None,
            slots=_slots(spec),
            image=str((spec.get("containers") or [{}])[0].get("image") or ""),
            other_gates=tuple(name for name in gates if name != PLAN_GATE),
            affinity=spec.get("affinity") or {},
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


KEY_BYTES = 32
"""Length of a key that is made up, and the shortest that a file may hold."""


@dataclass(frozen=True, slots=True)
class DecisionKey:
    """Signs the planner's decision about a pod, as all users who may patch pods can write it.

    The signature covers the pod's UID, so that it is worth nothing on another pod.
    """

    secret: bytes = field(repr=False)

    @classmethod
    def random(cls) -> Self:
        """A key that ends with the process: decisions from before its start do not count."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """The key in a file, which all replicas and the operator share.

        Raises:
            InvalidInput: the file cannot be read, or is shorter than `KEY_BYTES`.
        """
        try:
            secret = path.read_bytes().strip()
        except OSError as error:
            raise InvalidInput(f"ACESNIPER_DECISION_KEY={path}: {error.strerror}") from error
        if len(secret) < KEY_BYTES:
            raise InvalidInput(f"ACESNIPER_DECISION_KEY={path}: shorter than {KEY_BYTES} bytes")
        return cls(secret)

    def annotations(self, pod: str, device: str, decision: str = "") -> dict[str, str]:
        """The annotations of an admitted pod, given its UID."""
        return {
            DEVICE_ANNOTATION: device,
            DECISION_ANNOTATION: decision,
            DECISION_SIGNATURE_ANNOTATION: self._sign(pod, device, decision),
        }

    def verified(self, pod: PodView) -> PodView:
        """The pod without device and decision, unless the planner wrote them."""
        if self._is_valid(pod.uid, pod.device, pod.decision, pod.signature):
            return pod
        return replace(pod, device=None, decision=None, signature=None)

    def device(self, pod: str, annotations: Mapping[str, str]) -> str | None:
        """The device in a pod's annotations, given its UID; None unless the planner wrote it."""
        names = (DEVICE_ANNOTATION, DECISION_ANNOTATION, DECISION_SIGNATURE_ANNOTATION)
        device, decision, signature = map(annotations.get, names)
        return device if self._is_valid(pod, device, decision, signature) else None

    def _is_valid(
        self, pod: str, device: str | None, decision: str | None, signature: str | None
    ) -> bool:
        if signature is None:
            return False
        expected = self._sign(pod, device or "", decision or "")
        # As bytes: compare_digest raises TypeError on text that is not ASCII.
        return hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))

    def _sign(self, *parts: str) -> str:
        return hmac.new(self.secret, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


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
