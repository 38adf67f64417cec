"""The ledger of work promised to devices, in seconds.

One entry per pod, keyed by its UID: reserved when the planner admits it (before the API server
shows it anywhere), and counted down from the moment it was bound to a node: what it waits for there
(its image, its model) is part of the promise. A reservation that is never bound expires; a pod that
is gone is released. Nothing else changes a backlog.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import heapreplace
from itertools import chain
from typing import NewType

from acesniper.domain.device import DeviceId

PodUid = NewType("PodUid", str)

OVERDUE_SHARE = 0.1
"""What is left of a pod that runs longer than expected, as a share of the time it has run: the
longer it is overdue, the less a finish in the next moment is to be believed."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Work promised to a device: `expected_s` in each of `slots`, from `started_s` on.

    `started_s` is when its pod was bound; `expires_s` is set while it is only reserved.
    """

    device: DeviceId
    expected_s: float
    started_s: float | None = None
    expires_s: float | None = None
    slots: int = 1

    @property
    def steady_until_s(self) -> float:
        """Until when it is expected to be done at a fixed instant: then it counts as overdue."""
        if self.started_s is None:
            return float("-inf")
        return self.started_s + self.expected_s / (1.0 + OVERDUE_SHARE)

    def remaining_s(self, now_s: float) -> float:
        """Expected seconds until it is done; never negative, and never 0 while it is here."""
        if self.started_s is None:
            return self.expected_s
        elapsed_s = max(now_s - self.started_s, 0.0)
        return max(self.expected_s - elapsed_s, OVERDUE_SHARE * elapsed_s)


def slots_free_s(busy_s: Iterable[float], slots: int) -> list[float]:
    """Seconds until each slot is free, soonest first, given what each pod has left.

    More pods than slots share the slots: each slot's wait is the sum of its queue.
    """
    free_s = [0.0] * slots
    for remaining_s in busy_s:
        heapreplace(free_s, free_s[0] + remaining_s)
    return sorted(free_s)


class ReservationLedger:
    """Promises by pod UID and by device."""

    def __init__(self) -> None:
        self._promises: dict[PodUid, Reservation] = {}
        self._by_device: dict[DeviceId, set[PodUid]] = {}
        self._touched: set[DeviceId] = set()

    def __len__(self) -> int:
        return len(self._promises)

    def __iter__(self) -> Iterator[PodUid]:
        return iter(self._promises)

    def __contains__(self, pod: object) -> bool:
        return pod in self._promises

    def get(self, pod: PodUid) -> Reservation | None:
        """The promise made to a pod, if any."""
        return self._promises.get(pod)

    def promise(self, pod: PodUid, promise: Reservation) -> None:
        """Write or rewrite a pod's promise; a start time that is known already is kept."""
        if promise.expected_s < 0:
            raise ValueError(f"expected_s must not be negative: {promise.expected_s}")
        before = self._promises.get(pod)
        if before is not None:
            if before.device == promise.device and promise.started_s is None:
                promise = replace(promise, started_s=before.started_s)
            self.release(pod)
        self._touched.add(promise.device)
        self._promises[pod] = promise
        self._by_device.setdefault(promise.device, set()).add(pod)

    def release(self, pod: PodUid) -> bool:
        """Forget a pod that finished or is gone; True if it was known."""
        promise = self._promises.pop(pod, None)
        if promise is None:
            return False
        self._touched.add(promise.device)
        pods = self._by_device[promise.device]
        pods.discard(pod)
        if not pods:
            del self._by_device[promise.device]
        return True

    def expire(self, now_s: float) -> dict[PodUid, Reservation]:
        """Release reservations that were never bound; returns them by pod."""
        late = {
            pod: promise
            for pod, promise in self._promises.items()
            if promise.expires_s is not None and promise.expires_s <= now_s
        }
        for pod in late:
            self.release(pod)
        return late

    def take_touched(self) -> set[DeviceId]:
        """Devices whose promises have changed since this was last asked."""
        touched, self._touched = self._touched, set()
        return touched

    def promises(self) -> tuple[Reservation, ...]:
        """All promises."""
        return tuple(self._promises.values())

    def items(self) -> Iterable[tuple[PodUid, Reservation]]:
        """All promises by pod."""
        return self._promises.items()

    def on(self, device: DeviceId) -> Iterable[Reservation]:
        """The promises made to a device."""
        return (self._promises[pod] for pod in self._by_device.get(device, ()))

    def devices(self) -> Iterable[DeviceId]:
        """Devices that anything is promised to."""
        return self._by_device.keys()

    def busy_s(self, device: DeviceId, now_s: float) -> tuple[float, ...]:
        """Remaining seconds of each slot that is taken on a device, shortest first."""
        taken = ((each.remaining_s(now_s),) * each.slots for each in self.on(device))
        return tuple(sorted(chain.from_iterable(taken)))

    def backlog_s(self, device: DeviceId, now_s: float) -> float:
        """Remaining seconds promised to a device, summed over the slots."""
        return sum(each.remaining_s(now_s) * each.slots for each in self.on(device))
