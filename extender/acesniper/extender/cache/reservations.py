"""Which pods take which devices' slots: keeps the ledger in line with pods and devices.

A promise is a function of its pod, the devices and the latency table as they are now, not of the
way there: a ledger that is made anew from a list equals the one that lived through every event.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from acesniper.api.decision import Decision
from acesniper.api.objects import PodView
from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import PodUid, Reservation, ReservationLedger
from acesniper.domain.task import TaskKey
from acesniper.extender.cache.devices import DeviceIndex
from acesniper.extender.cache.pending import task_key

MAX_EXPECTED_S = 1e12
"""What a pod is expected to take at most: anybody can annotate a pod, and backlogs are sums."""
TIMESTAMP_RESOLUTION_S = 1.0
"""The API server writes whole seconds: what happened at 7.9 reads 7."""

EstimateRun = Callable[[PodView, DeviceId, int], float]
"""Expected seconds of so many inferences of a pod's model on a device."""


@dataclass(frozen=True, slots=True)
class RemainingTime:
    """What a task's runner said at `at_s`: so many seconds are left at its pace until then."""

    pod: PodUid
    at_s: float
    seconds: float


@dataclass(slots=True)
class Reservations:
    """Pods that take a slot, and what is promised to them."""

    ledger: ReservationLedger
    devices: DeviceIndex
    clock: Callable[[], float]
    guess_s: EstimateRun
    bind_timeout_s: float
    _takers: dict[PodUid, PodView] = field(default_factory=dict)
    _near: dict[str, set[PodUid]] = field(default_factory=dict)
    """Takers by the node and by the device that they name."""
    _guessed: set[PodUid] = field(default_factory=set)
    """Those whose expected time comes from the table: nobody decided about them."""
    _left: dict[TaskKey, RemainingTime] = field(default_factory=dict)
    """What the runners of tasks said, whether or not their pods were seen yet."""

    def take(self, pod: PodView) -> bool:
        """A pod that is past its gate was seen; True if that changed what is promised."""
        before = self._takers.get(pod.uid)
        if before is not None and (before.node, before.device) != (pod.node, pod.device):
            self._forget(before)
        self._takers[pod.uid] = pod
        for name in _names(pod):
            self._near.setdefault(name, set()).add(pod.uid)
        return self._promise(pod)

    def progressed(self, task: TaskKey, left: RemainingTime | None) -> bool:
        """A task's runner said how far it is (None: not any more); True if that changed a promise.

        It is better than what was predicted of it.
        """
        if self._left.get(task) == left:
            return False
        before = self._left.pop(task, None)
        if left is not None:
            self._left[task] = left
        told_of = {each.pod for each in (before, left) if each is not None}
        changed = [self._promise(self._takers[pod]) for pod in told_of & self._takers.keys()]
        return any(changed)

    def free(self, pod: PodUid) -> None:
        """A pod ended or is gone."""
        if (known := self._takers.pop(pod, None)) is not None:
            self._forget(known)
        self._guessed.discard(pod)
        self.ledger.release(pod)

    def look_again(self, names: Iterable[str]) -> None:
        """Nodes or devices of these names came, went or changed."""
        near = {uid for name in names for uid in self._near.get(name, ())}
        for uid in near:
            self._promise(self._takers[uid])

    def guess_again(self) -> None:
        """The latency table changed."""
        for uid in tuple(self._guessed):
            self._promise(self._takers[uid])

    def renew(self, pod: PodUid) -> None:
        """Promise anew what expired: its pod could not be withdrawn, and is to be next time."""
        if (known := self._takers.get(pod)) is not None:
            self._promise(known)

    def _promise(self, pod: PodView) -> bool:
        known, device = self.ledger.get(pod.uid), self.devices.of_pod(pod)
        self._guessed.discard(pod.uid)
        if device is None:
            return self.ledger.release(pod.uid)
        started_s = expires_s = None
        if pod.node is not None:
            started_s = self._started_s(pod, known)
        elif known is None or (expires_s := known.expires_s) is None:
            expires_s = self.clock() + self.bind_timeout_s
        expected_s = self._expected_s(pod, device)
        left = self._left.get(task_key(pod))
        if left is not None and left.pod == pod.uid and started_s is not None:
            expected_s = max(left.at_s - started_s, 0.0) + left.seconds
        known_device = self.devices.get(device)
        slots = min(pod.slots, known_device.slots if known_device else 1)
        promise = Reservation(device, min(expected_s, MAX_EXPECTED_S), started_s, expires_s, slots)
        self.ledger.reserve(pod.uid, promise)
        return promise != known

    def _started_s(self, pod: PodView, known: Reservation | None) -> float:
        if known is not None and known.started_s is not None:
            return known.started_s
        return _within_its_second(pod.bound_s, self.clock())

    def _expected_s(self, pod: PodView, device: DeviceId) -> float:
        inferences = 1
        if (decision := Decision.read(pod.decision)) is not None:
            chosen = decision.candidates[0]
            if chosen.device == device:
                return chosen.cold_start_seconds + chosen.transfer_seconds + chosen.run_seconds
            inferences = chosen.inferences
        self._guessed.add(pod.uid)
        return self.guess_s(pod, device, inferences)

    def _forget(self, pod: PodView) -> None:
        for name in _names(pod):
            near = self._near[name]
            near.discard(pod.uid)
            if not near:
                del self._near[name]


def _names(pod: PodView) -> set[str]:
    """The node and the device that a pod names; often they are called the same."""
    return {name for name in (pod.node, pod.device) if name}


def _within_its_second(at_s: float | None, now_s: float) -> float:
    """The best guess at an instant that was cut to a whole second, seen at `now_s`."""
    return now_s if at_s is None else min(max(now_s, at_s), at_s + TIMESTAMP_RESOLUTION_S)
