"""When each busy node has a free slot again, known at once: thousands are asked for per request.

As long as all goes as expected, that is an instant, worked out when something changes on a device
and good until a pod there counts as overdue. From then on it moves on with the clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from acesniper.domain.device import Device, NodeName
from acesniper.domain.reservations import Reservation, ReservationLedger, slots_free_s
from acesniper.extender.cache.devices import DeviceIndex

MAX_STALE_FACTOR = 4
"""So many times as many instants as nodes are kept; what no longer counts goes then."""


@dataclass(slots=True)
class Availability:
    """Instants, in seconds since the epoch; an idle node has none."""

    ledger: ReservationLedger
    devices: DeviceIndex
    _free_at_s: dict[str, float] = field(default_factory=dict)
    _steady_until_s: dict[NodeName, float] = field(default_factory=dict)
    _turning: list[tuple[float, NodeName]] = field(default_factory=list)
    """The same instants as a heap, with some that no longer count."""
    _moving: set[NodeName] = field(default_factory=set)
    """Busy nodes whose instant moves with the clock."""
    _moving_alone: dict[NodeName, Reservation] = field(default_factory=dict)
    """Those where a single promise says when: most of them, and quick to ask."""

    def free_at_s(self, now_s: float) -> Mapping[str, float]:
        """Node name to the instant at which one of its slots is free; only nodes that are busy."""
        for device in self.ledger.take_changed():
            if (found := self.devices.get(device)) is not None:
                self._work_out(found.node, now_s)
        while self._turning and self._turning[0][0] <= now_s:
            until_s, node = heappop(self._turning)
            if self._steady_until_s.get(node) == until_s:
                self._work_out(node, now_s)
        for node in tuple(self._moving):
            self._work_out(node, now_s)
        for node, promise in self._moving_alone.items():
            self._free_at_s[node] = now_s + promise.remaining_s(now_s)
        return self._free_at_s

    def look_again(self, nodes: Iterable[str], now_s: float) -> None:
        """The devices of these nodes came, went or changed."""
        for node in nodes:
            self._work_out(NodeName(node), now_s)

    def _work_out(self, node: NodeName, now_s: float) -> None:
        self._forget(node)
        here = self.devices.on_node.get(node) or ()
        wait_s = min((self._wait_s(each, now_s) for each in here), default=0.0)
        if wait_s <= 0.0:
            return
        self._free_at_s[node] = now_s + wait_s
        until_s = min(self._steady_s(each) for each in here)
        if until_s > now_s:
            self._steady_until_s[node] = until_s
            self._turn(until_s, node)
            return
        promises = [promise for each in here for promise in self.ledger.on(each.id)]
        if len(promises) == 1:
            self._moving_alone[node] = promises[0]
        else:
            self._moving.add(node)

    def _turn(self, until_s: float, node: NodeName) -> None:
        """Note when a node is to be looked at again; a long run's news leave nothing behind."""
        heappush(self._turning, (until_s, node))
        if len(self._turning) > MAX_STALE_FACTOR * len(self._steady_until_s):
            self._turning = [(until_s, node) for node, until_s in self._steady_until_s.items()]
            heapify(self._turning)

    def _forget(self, node: NodeName) -> None:
        self._free_at_s.pop(node, None)
        self._steady_until_s.pop(node, None)
        self._moving.discard(node)
        self._moving_alone.pop(node, None)

    def _wait_s(self, device: Device, now_s: float) -> float:
        return slots_free_s(self.ledger.busy_s(device.id, now_s), device.slots)[0]

    def _steady_s(self, device: Device) -> float:
        """Until when a busy device's slots are free at fixed instants; pods that queue do not."""
        promises = tuple(self.ledger.on(device.id))
        if sum(each.slots for each in promises) > device.slots:
            return float("-inf")
        return min(each.steady_until_s for each in promises)
