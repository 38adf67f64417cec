"""The devices of the cluster: profiles whose node exists."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from acesniper.api import convert
from acesniper.api.objects import NodeView, PodView
from acesniper.api.v1alpha1 import DeviceProfile
from acesniper.domain.device import Device, DeviceId, NodeName


@dataclass(slots=True)
class DeviceIndex:
    """Kept up to date one node or profile at a time: a fleet of thousands comes in as many steps.

    `on_node` lists the devices of a node by name; `measured_at` is when each was probed.
    """

    by_id: dict[DeviceId, Device] = field(default_factory=dict)
    on_node: dict[NodeName, list[Device]] = field(default_factory=dict)
    measured_at: dict[DeviceId, str] = field(default_factory=dict)
    _nodes: dict[NodeName, NodeView] = field(default_factory=dict)
    _profiles: dict[DeviceId, DeviceProfile] = field(default_factory=dict)
    _measured_on: dict[NodeName, set[DeviceId]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Device]:
        return iter(self.by_id.values())

    def get(self, device: str | None) -> Device | None:
        """A device by its profile's name."""
        return self.by_id.get(DeviceId(device)) if device else None

    def node_of(self, device: DeviceId) -> NodeName | None:
        """The node a profile names, whether or not that exists."""
        profile = self._profiles.get(device)
        return NodeName(profile.spec.node) if profile else None

    def profiles(self) -> dict[DeviceId, DeviceProfile]:
        """All profiles, as they are now."""
        return dict(self._profiles)

    def set_node(self, name: NodeName, node: NodeView | None) -> bool:
        """Note a node, None when it is gone; True if that changed anything of its devices."""
        if self._nodes.get(name) == node:
            return False
        if node is None:
            del self._nodes[name]
        else:
            self._nodes[name] = node
        for device in tuple(self._measured_on.get(name, ())):
            self._derive(device)
        return True

    def set_profile(self, device: DeviceId, profile: DeviceProfile | None) -> None:
        """Note a profile, None when it is gone."""
        before = self._profiles.pop(device, None)
        if before is not None:
            self._measured_on[NodeName(before.spec.node)].discard(device)
        self.measured_at.pop(device, None)
        if profile is not None:
            self._profiles[device] = profile
            self._measured_on.setdefault(NodeName(profile.spec.node), set()).add(device)
            if profile.status.measured_at:
                self.measured_at[device] = profile.status.measured_at
        self._derive(device)

    def labels(self) -> dict[DeviceId, Mapping[str, str]]:
        """The labels of each device's node."""
        return {each.id: self._nodes[each.node].labels for each in self}

    def of_pod(self, pod: PodView) -> DeviceId | None:
        """The device a pod is on or was admitted to; a foreign pod takes its node's first.

        None for a pod that waits behind its gate, or is on a node without devices.
        """
        if pod.gated:
            return None
        if pod.node is None:
            # Known or not: what is never bound there expires.
            return DeviceId(pod.device) if pod.device else None
        named = self.get(pod.device)
        if named is not None and named.node == pod.node:
            return named.id
        on_node = self.on_node.get(NodeName(pod.node))
        return on_node[0].id if on_node else None

    def _derive(self, name: DeviceId) -> None:
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
        self.on_node[device.node].sort(key=lambda each: each.id)
