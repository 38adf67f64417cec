"""Availability of busy nodes: the instant at which each has a free slot.

`/prioritize` asks for thousands of nodes per request, so instants are kept, not computed on demand.
While reservations run as expected, an instant is constant; it is computed when something changes on
the device and stays valid until a pod there becomes overdue. From then on it moves with the clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from acesniper.domain.device import Device, NodeName
from acesniper.domain.reservations import Reservation, ReservationLedger, slots_free_s
from acesniper.extender.cache.devices import DeviceIndex

MAX_STALE_FACTOR = 4
"""The heap is rebuilt once it holds this many entries per valid one."""


@dataclass(slots=True)
class Availability:
    """Instants by node, in seconds since the epoch; an idle node has none."""

    ledger: ReservationLedger
    devices: DeviceIndex
    _free_at_s: dict[str, float] = field(default_factory=dict)
    _valid_until_s: dict[NodeName, float] = field(default_factory=dict)
    _expiries: list[tuple[float, NodeName]] = field(default_factory=list)
    """Heap of `_valid_until_s`, with stale entries."""
    _overdue: set[NodeName] = field(default_factory=set)
    """Nodes whose instant moves with the clock."""
    _overdue_single: dict[NodeName, Reservation] = field(default_factory=dict)
    """Overdue nodes with one reservation only: most of them, and cheap to evaluate."""

    def free_at_s(self, now_s: float) -> Mapping[str, float]:
        """Return the instant at which each busy node has a free slot."""
        for device_id in self.ledger.take_changed():
            if (device := self.devices.get(device_id)) is not None:
                self._update(device.node, now_s)
        while self._expiries and self._expiries[0][0] <= now_s:
            until_s, node = heappop(self._expiries)
            if self._valid_until_s.get(node) == until_s:
                self._update(node, now_s)
        for node in tuple(self._overdue):
            self._update(node, now_s)
        for node, reservation in self._overdue_single.items():
            self._free_at_s[node] = now_s + reservation.remaining_s(now_s)
        return self._free_at_s

    def invalidate(self, nodes: Iterable[str], now_s: float) -> None:
        """Compute these nodes again: their devices were added, removed or changed."""
        for node in nodes:
            self._update(NodeName(node), now_s)

    def _update(self, node: NodeName, now_s: float) -> None:
        self._drop(node)
        devices = self.devices.on_node.get(node) or ()
        wait_s = min((self._wait_s(device, now_s) for device in devices), default=0.0)
        if wait_s <= 0.0:
            return
        self._free_at_s[node] = now_s + wait_s
        until_s = min(self._steady_until_s(device) for device in devices)
        if until_s > now_s:
            self._valid_until_s[node] = until_s
            self._push_expiry(until_s, node)
            return
        reservations = [
            reservation for device in devices for reservation in self.ledger.on(device.id)
        ]
        if len(reservations) == 1:
            self._overdue_single[node] = reservations[0]
        else:
            self._overdue.add(node)

    def _push_expiry(self, until_s: float, node: NodeName) -> None:
        """Schedule the next update of a node; rebuild the heap when most of it is stale."""
        heappush(self._expiries, (until_s, node))
        if len(self._expiries) > MAX_STALE_FACTOR * len(self._valid_until_s):
            self._expiries = [(until_s, node) for node, until_s in self._valid_until_s.items()]
            heapify(self._expiries)

    def _drop(self, node: NodeName) -> None:
        self._free_at_s.pop(node, None)
        self._valid_until_s.pop(node, None)
        self._overdue.discard(node)
        self._overdue_single.pop(node, None)

    def _wait_s(self, device: Device, now_s: float) -> float:
        return slots_free_s(self.ledger.busy_s(device.id, now_s), device.slots)[0]

    def _steady_until_s(self, device: Device) -> float:
        """Until when the slots of a busy device become free at constant instants.

        Never (-inf) where more pods than slots share the device.
        """
        reservations = tuple(self.ledger.on(device.id))
        if sum(reservation.slots for reservation in reservations) > device.slots:
            return float("-inf")
        return min(reservation.steady_until_s for reservation in reservations)
