"""What kube-scheduler's filters depend on: pods' rules and requests, nodes, and volumes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from acesniper.api.names import Kind
from acesniper.api.objects import Json, PodView
from acesniper.api.pod_rules import node_rules, pod_requests, pod_rules
from acesniper.api.volume_rules import VolumeIndex
from acesniper.domain.device import Device, NodeName
from acesniper.domain.reservations import PodUid
from acesniper.domain.scheduling_rules import NO_RULES, UNKNOWN_NODE, NodeRules, PodRules
from acesniper.policies.node_resources import FreeResources, NodeResources


@dataclass(slots=True)
class SchedulerRules:
    """Rules of pods, nodes and volumes, and what the pods request of the nodes.

    Attributes:
        nodes: what the filters read of each node; a changed node is replaced, never modified.
        volumes: on which nodes each volume claim can be used.
    """

    nodes: dict[NodeName, NodeRules] = field(default_factory=dict)
    volumes: VolumeIndex = field(default_factory=VolumeIndex)
    _resources: NodeResources = field(default_factory=NodeResources)
    _pods: dict[PodUid, PodRules] = field(default_factory=dict)
    """Rules of gated and of admitted pods."""

    def set_node(self, name: NodeName, node: Json | None) -> bool:
        """Upsert a node, or delete it (None); return whether a rule changed."""
        before = self.nodes.pop(name, None)
        rules = None if node is None else node_rules(node)
        self._resources.set_node(name, (rules or UNKNOWN_NODE).allocatable)
        if rules is not None:
            self.nodes[name] = rules
        return rules != before

    def set_volume(self, kind: Kind, obj: Json, *, deleted: bool) -> bool:
        """Apply a volume claim, a volume or a storage class; return whether a rule changed."""
        return self.volumes.apply(kind, obj, deleted=deleted)

    def upsert_pod(self, pod: PodView, manifest: Json, device: Device | None) -> None:
        """Upsert a pod; `device` is the one that it was admitted to."""
        spec = manifest["spec"]
        if pod.finished:
            self.delete_pod(pod.uid)
        elif pod.gated:
            labels = manifest["metadata"].get("labels") or {}
            self._pods[pod.uid] = pod_rules(pod.namespace, pod.name, spec, labels)
        elif (node := pod.node or (device.node if device else None)) is not None:
            requests = tuple(sorted(pod_requests(spec, manifest.get("status")).items()))
            holds_slot = pod.slots > 0
            self._resources.set_pod(pod.uid, NodeName(node), requests, holds_slot=holds_slot)
            if pod.node is not None:
                self._pods.pop(pod.uid, None)

    def delete_pod(self, uid: PodUid) -> None:
        """Delete a pod."""
        self._pods.pop(uid, None)
        self._resources.delete_pod(uid)

    def rules_of(self, uid: PodUid) -> PodRules:
        """Return the rules of a pod that is not bound yet."""
        return self._pods.get(uid, NO_RULES)

    def fits(self, uid: PodUid, device: Device) -> bool:
        """Whether the node of a device has left what a pod requests."""
        return self._resources.fits(device.node, self.rules_of(uid).requests, excluded=uid)

    def reserve(self, uid: PodUid, device: Device) -> None:
        """Count what a pod requests on the node of the device that it is admitted to."""
        self._resources.set_pod(uid, device.node, self.rules_of(uid).requests, holds_slot=True)

    def cancel(self, uid: PodUid) -> None:
        """Count a pod no longer that was admitted and is not bound."""
        self._resources.delete_pod(uid)

    def free_resources(self, devices: Sequence[Device]) -> FreeResources:
        """Return what the pods leave on the node of each device."""
        return self._resources.snapshot(devices)
