"""Reservations of device time, in seconds.

There is one reservation per pod, keyed by the pod's UID. It is made when the planner admits the
pod, before the API server shows the change, and counts down from the binding to a node: pulling the
image and fetching the model are part of it. A reservation whose pod is never bound expires; that of
a deleted pod is released. Nothing else changes the backlog of a device.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import heapreplace
from itertools import chain
from typing import NewType

from acesniper.domain.device import DeviceId

PodUid = NewType("PodUid", str)

OVERDUE_SHARE = 0.1
"""Remaining time of a pod that runs longer than expected, as a share of the time it has run: the
longer it is overdue, the longer it is likely to go on."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Time reserved on a device: `expected_s` in each of `slots`.

    `started_s` is when the pod was bound; `expires_s` is set until then. `namespace` is that of the
    pod, whose share it uses.
    """

    device: DeviceId
    expected_s: float
    started_s: float | None = None
    expires_s: float | None = None
    slots: int = 1
    namespace: str = ""

    @property
    def steady_until_s(self) -> float:
        """Until when its expected end is a fixed instant; after that it counts as overdue."""
        if self.started_s is None:
            return float("-inf")
        return self.started_s + self.expected_s / (1.0 + OVERDUE_SHARE)

    def remaining_s(self, now_s: float) -> float:
        """Expected seconds until the pod ends; never negative, and never 0 once it has started."""
        if self.started_s is None:
            return self.expected_s
        elapsed_s = max(now_s - self.started_s, 0.0)
        return max(self.expected_s - elapsed_s, OVERDUE_SHARE * elapsed_s)

    def used_s(self, now_s: float) -> float:
        """Device seconds that the pod has used: its elapsed time in each slot."""
        return 0.0 if self.started_s is None else max(now_s - self.started_s, 0.0) * self.slots

    def charge_s(self, now_s: float) -> float:
        """Device seconds that the pod takes in total: what it has used and what remains."""
        elapsed_s = 0.0 if self.started_s is None else max(now_s - self.started_s, 0.0)
        return max(self.expected_s, (1.0 + OVERDUE_SHARE) * elapsed_s) * self.slots


def slots_free_s(busy_s: Iterable[float], slots: int) -> list[float]:
    """Seconds until each slot is free, soonest first, given the remaining time of each pod.

    If there are more pods than slots, a slot's wait is the sum of the pods queued on it.
    """
    free_s = [0.0] * slots
    for remaining_s in busy_s:
        heapreplace(free_s, free_s[0] + remaining_s)
    return sorted(free_s)


class ReservationLedger:
    """Reservations by pod UID and by device."""

    def __init__(self) -> None:
        self._reservations: dict[PodUid, Reservation] = {}
        self._by_device: dict[DeviceId, set[PodUid]] = {}
        self._changed: set[DeviceId] = set()

    def __len__(self) -> int:
        return len(self._reservations)

    def __iter__(self) -> Iterator[PodUid]:
        return iter(self._reservations)

    def __contains__(self, pod: object) -> bool:
        return pod in self._reservations

    def get(self, pod: PodUid) -> Reservation | None:
        """The reservation of a pod, if any."""
        return self._reservations.get(pod)

    def reserve(self, pod: PodUid, reservation: Reservation) -> None:
        """Make or replace the reservation of a pod; a known start time is kept."""
        if reservation.expected_s < 0:
            raise ValueError(f"expected_s must not be negative: {reservation.expected_s}")
        before = self._reservations.get(pod)
        if before is not None:
            if before.device == reservation.device and reservation.started_s is None:
                reservation = replace(reservation, started_s=before.started_s)
            self.release(pod)
        self._changed.add(reservation.device)
        self._reservations[pod] = reservation
        self._by_device.setdefault(reservation.device, set()).add(pod)

    def release(self, pod: PodUid) -> bool:
        """Remove the reservation of a pod that ended or was deleted; True if there was one."""
        reservation = self._reservations.pop(pod, None)
        if reservation is None:
            return False
        self._changed.add(reservation.device)
        pods = self._by_device[reservation.device]
        pods.discard(pod)
        if not pods:
            del self._by_device[reservation.device]
        return True

    def expire(self, now_s: float) -> dict[PodUid, Reservation]:
        """Remove and return the reservations whose pods were not bound before `expires_s`."""
        expired = {
            pod: reservation
            for pod, reservation in self._reservations.items()
            if reservation.expires_s is not None and reservation.expires_s <= now_s
        }
        for pod in expired:
            self.release(pod)
        return expired

    def take_changed(self) -> set[DeviceId]:
        """Devices whose reservations changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def reservations(self) -> tuple[Reservation, ...]:
        """All reservations."""
        return tuple(self._reservations.values())

    def items(self) -> Iterable[tuple[PodUid, Reservation]]:
        """All reservations by pod."""
        return self._reservations.items()

    def on(self, device: DeviceId) -> Iterable[Reservation]:
        """The reservations on a device."""
        return (self._reservations[pod] for pod in self._by_device.get(device, ()))

    def devices(self) -> Iterable[DeviceId]:
        """Devices with at least one reservation."""
        return self._by_device.keys()

    def busy_s(self, device: DeviceId, now_s: float) -> tuple[float, ...]:
        """Remaining seconds of each occupied slot of a device, shortest first."""
        occupied = (
            (reservation.remaining_s(now_s),) * reservation.slots for reservation in self.on(device)
        )
        return tuple(sorted(chain.from_iterable(occupied)))

    def backlog_s(self, device: DeviceId, now_s: float) -> float:
        """Remaining reserved seconds of a device, summed over its slots."""
        return sum(
            reservation.remaining_s(now_s) * reservation.slots for reservation in self.on(device)
        )
