"""Index of the devices of the cluster: every DeviceProfile whose node exists."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from acesniper.api import convert
from acesniper.api.objects import NodeView, PodView
from acesniper.api.v1alpha1 import DeviceProfile
from acesniper.domain.device import Device, DeviceId, NodeName


@dataclass(slots=True)
class DeviceIndex:
    """Devices by name and by node, updated one node or profile at a time.

    Attributes:
        by_id: devices by the name of their profile.
        on_node: the devices of each node, sorted by name.
        measured_at: time of each device's last probe, as RFC 3339.
    """

    by_id: dict[DeviceId, Device] = field(default_factory=dict)
    on_node: dict[NodeName, list[Device]] = field(default_factory=dict)
    measured_at: dict[DeviceId, str] = field(default_factory=dict)
    _nodes: dict[NodeName, NodeView] = field(default_factory=dict)
    _profiles: dict[DeviceId, DeviceProfile] = field(default_factory=dict)
    _profiles_on_node: dict[NodeName, set[DeviceId]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Device]:
        return iter(self.by_id.values())

    def get(self, device: str | None) -> Device | None:
        """Return a device by the name of its profile."""
        return self.by_id.get(DeviceId(device)) if device else None

    def node_of(self, device: DeviceId) -> NodeName | None:
        """Return the node that a profile names, whether or not that node exists."""
        profile = self._profiles.get(device)
        return NodeName(profile.spec.node) if profile else None

    def profiles(self) -> dict[DeviceId, DeviceProfile]:
        """Return a copy of all profiles."""
        return dict(self._profiles)

    def device_of(self, pod: PodView) -> DeviceId | None:
        """Return the device that a pod runs on or was admitted to.

        A pod that names no device of its node counts for the node's first device. None for a gated
        pod, and for one on a node without devices.
        """
        if pod.gated:
            return None
        if pod.node is None:
            # The device may not be in the index yet; a pod that is never bound there expires.
            return DeviceId(pod.device) if pod.device else None
        named = self.get(pod.device)
        if named is not None and named.node == pod.node:
            return named.id
        on_node = self.on_node.get(NodeName(pod.node))
        return on_node[0].id if on_node else None

    def set_node(self, name: NodeName, node: NodeView | None) -> bool:
        """Upsert a node, or delete it (None); return whether it differs from before."""
        if self._nodes.get(name) == node:
            return False
        if node is None:
            del self._nodes[name]
        else:
            self._nodes[name] = node
        for device in tuple(self._profiles_on_node.get(name, ())):
            self._update(device)
        return True

    def set_profile(self, device: DeviceId, profile: DeviceProfile | None) -> None:
        """Upsert a profile, or delete it (None)."""
        before = self._profiles.pop(device, None)
        if before is not None:
            self._profiles_on_node[NodeName(before.spec.node)].discard(device)
        self.measured_at.pop(device, None)
        if profile is not None:
            self._profiles[device] = profile
            self._profiles_on_node.setdefault(NodeName(profile.spec.node), set()).add(device)
            if profile.status.measured_at:
                self.measured_at[device] = profile.status.measured_at
        self._update(device)

    def _update(self, name: DeviceId) -> None:
        """Derive a device from its profile and node."""
        before = self.by_id.pop(name, None)
        if before is not None:
            self.on_node[before.node].remove(before)
        profile = self._profiles.get(name)
        node = self._nodes.get(NodeName(profile.spec.node)) if profile else None
        if profile is None or node is None:
            return
        device = convert.to_device(profile, schedulable=node.schedulable)
        self.by_id[name] = device
        self.on_node.setdefault(device.node, []).append(device)
        self.on_node[device.node].sort(key=lambda device: device.id)
