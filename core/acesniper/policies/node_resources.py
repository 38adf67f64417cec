"""What the nodes' pods leave of the allocatable resources, as arrays over nodes.

Pods that hold a slot end; what the others request stays. A request fits *now* if all pods together
leave enough, and *later* if the pods without a slot leave enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from acesniper.domain.device import Device, NodeName
from acesniper.domain.prediction import Feasibility
from acesniper.domain.scheduling_rules import Amounts, NodeRules
from acesniper.policies.feasibility import fit

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]
Requests = tuple[tuple[str, int], ...]
UNLIMITED = 2**62
"""Left on a node whose allocatable resources are unknown."""


@dataclass(slots=True)
class NodeResources:
    """Requests per node, updated one pod at a time.

    Attributes:
        pods: node, requests and whether the pod holds a slot, by the pod's UID.
    """

    pods: dict[str, tuple[NodeName, Requests, bool]] = field(default_factory=dict)
    _rows: dict[NodeName, int] = field(default_factory=dict)
    _allocatable: dict[NodeName, Amounts | None] = field(default_factory=dict)
    _left_now: dict[str, Integers] = field(default_factory=dict)
    _left_later: dict[str, Integers] = field(default_factory=dict)
    _requested: dict[NodeName, dict[str, int]] = field(default_factory=dict)
    _last: tuple[Sequence[Device], Integers] = ((), np.zeros(0, np.int64))
    """The devices of the last snapshot, and the rows of their nodes."""

    def set_node(self, name: NodeName, allocatable: Amounts | None) -> None:
        """Set what a node can allocate; None if it is unknown or the node is gone."""
        before = self._allocatable.get(name)
        if name in self._rows and before == allocatable:
            return
        row = self._row(name)
        for resource in {*(before or ()), *(allocatable or ()), *self._left_now}:
            old, new = _total(before, resource), _total(allocatable, resource)
            for left in self._left(resource):
                left[row] += new - old
        self._allocatable[name] = allocatable

    def set_pod(self, uid: str, node: NodeName, requests: Requests, *, holds_slot: bool) -> None:
        """Count a pod on a node, or move it there."""
        entry = (node, requests, holds_slot)
        if self.pods.get(uid) != entry:
            self.delete_pod(uid)
            self.pods[uid] = entry
            self._count(entry, 1)

    def delete_pod(self, uid: str) -> bool:
        """Count a pod no longer; return whether it was counted."""
        entry = self.pods.pop(uid, None)
        if entry is not None:
            self._count(entry, -1)
        return entry is not None

    def fits(self, node: NodeName, requests: Requests, excluded: str = "") -> bool:
        """Whether requests fit on a node now; the pod `excluded` is not counted."""
        own = self.pods.get(excluded)
        requested = dict(self._requested.get(node, {}))
        for resource, amount in own[1] if own is not None and own[0] == node else ():
            requested[resource] -= amount
        rules = NodeRules(allocatable=self._allocatable.get(node))
        return fit(requests, rules, requested).feasible

    def snapshot(self, devices: Sequence[Device]) -> "FreeResources":
        """What is left on the node of each device."""
        if self._last[0] is not devices:
            rows = np.array([self._row(device.node) for device in devices], np.int64)
            self._last = devices, rows
        rows = self._last[1]
        return FreeResources(
            {resource: left[rows] for resource, left in self._left_now.items()},
            {resource: left[rows] for resource, left in self._left_later.items()},
        )

    def _count(self, entry: tuple[NodeName, Requests, bool], sign: int) -> None:
        node, requests, holds_slot = entry
        row, requested = self._row(node), self._requested.setdefault(node, {})
        for resource, amount in requests:
            requested[resource] = requested.get(resource, 0) + sign * amount
            now, later = self._left(resource)
            now[row] -= sign * amount
            if not holds_slot:
                later[row] -= sign * amount

    def _row(self, name: NodeName) -> int:
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = len(self._rows)
            self._allocatable[name] = None
            for arrays in (self._left_now, self._left_later):
                for resource, left in arrays.items():
                    if row >= len(left):
                        more = np.full(max(row, 64), UNLIMITED, np.int64)
                        arrays[resource] = np.concatenate([left, more])
        return row

    def _left(self, resource: str) -> tuple[Integers, Integers]:
        if resource not in self._left_now:
            totals = np.full(max(len(self._rows), 64), UNLIMITED, np.int64)
            for name, row in self._rows.items():
                totals[row] = _total(self._allocatable.get(name), resource)
            self._left_now[resource], self._left_later[resource] = totals, totals.copy()
        return self._left_now[resource], self._left_later[resource]


def _total(allocatable: Amounts | None, resource: str) -> int:
    return UNLIMITED if allocatable is None else allocatable.get(resource, 0)


@dataclass(slots=True, eq=False)
class FreeResources:
    """What is left by resource, over devices: by all pods, and by those without a slot."""

    now: Mapping[str, Integers] = field(default_factory=dict)
    later: Mapping[str, Integers] = field(default_factory=dict)
    _cache: dict[Requests, tuple[Bools | None, Bools | None]] = field(default_factory=dict)

    def fitting(self, requests: Requests) -> tuple[Bools | None, Bools | None]:
        """Where requests fit now, and where later; None stands for everywhere."""
        masks = self._cache.get(requests)
        if masks is None:
            masks = _fitting(self.now, requests), _fitting(self.later, requests)
            self._cache[requests] = masks
        return masks

    def verdict(self, requests: Requests, place: int, *, now: bool = False) -> Feasibility:
        """Whether requests fit on the device at a place later, or also `now`."""
        amounts_left = self.now if now else self.later
        left = {resource: int(amounts[place]) for resource, amounts in amounts_left.items()}
        counted = [(resource, amount) for resource, amount in requests if resource in left]
        verdict = fit(counted, NodeRules(allocatable=left))
        return verdict if verdict.feasible else Feasibility(False, f"{verdict.reason} left")


def _fitting(left: Mapping[str, Integers], requests: Requests) -> Bools | None:
    masks = [
        left[resource] >= amount for resource, amount in requests if amount and resource in left
    ]
    fits = np.logical_and.reduce(masks) if masks else None
    return None if fits is None or fits.all() else fits
