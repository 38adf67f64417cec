"""When each busy node has a free slot again, known at once: thousands are asked for per request.

Worked out when something changes on a device, and again when the expected instant has passed; in
between time does the rest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from acesniper.domain.backlog import Ledger, slots_free_s
from acesniper.domain.device import Device, NodeName
from acesniper.extender.devices import Devices


@dataclass(slots=True)
class Waits:
    """Instants, in seconds since the epoch; an idle node has none."""

    ledger: Ledger
    devices: Devices
    _free_at_s: dict[str, float] = field(default_factory=dict)
    _passing: list[tuple[float, NodeName]] = field(default_factory=list)
    """The same instants as a heap, with some that no longer count."""

    def free_at_s(self, now_s: float) -> Mapping[str, float]:
        """Node name to the instant at which one of its slots is free; only nodes that are busy."""
        for device in self.ledger.take_touched():
            if (found := self.devices.get(device)) is not None:
                self._work_out(found.node, now_s)
        while self._passing and self._passing[0][0] <= now_s:
            at_s, node = heappop(self._passing)
            if self._free_at_s.get(node) == at_s:
                self._work_out(node, now_s)
        return self._free_at_s

    def look_again(self, nodes: Iterable[str], now_s: float) -> None:
        """The devices of these nodes came, went or changed."""
        for node in nodes:
            self._work_out(NodeName(node), now_s)

    def _work_out(self, node: NodeName, now_s: float) -> None:
        here = self.devices.on_node.get(node) or ()
        wait_s = min((self._wait_s(each, now_s) for each in here), default=0.0)
        if wait_s > 0.0:
            self._free_at_s[node] = now_s + wait_s
            heappush(self._passing, (now_s + wait_s, node))
        else:
            self._free_at_s.pop(node, None)

    def _wait_s(self, device: Device, now_s: float) -> float:
        return slots_free_s(self.ledger.busy_s(device.id, now_s), device.slots)[0]
