"""Keeps the reservation ledger consistent with pods, devices and the latency table.

A reservation is a function of the current pod, devices and latency table, and of nothing that
happened before. A ledger that is rebuilt from a list after a restart therefore equals one that
processed every event.
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
"""Upper bound of a pod's expected time: annotations are user input, and backlogs are sums."""
REPORTED_SLOWDOWN = 32.0
"""How many times the expected run a task may report as left: its container may report anything."""
TIMESTAMP_RESOLUTION_S = 1.0
"""The API server truncates timestamps to whole seconds: 7.9 s is written as 7."""

EstimateRun = Callable[[PodView, DeviceId, int], float]
"""Expected seconds of a number of inferences of a pod's model on a device."""


@dataclass(frozen=True, slots=True)
class RemainingTime:
    """Seconds that a task still needs at its pace so far, as its runner reported at `at_s`."""

    pod: PodUid
    at_s: float
    seconds: float


@dataclass(slots=True)
class Reservations:
    """Derives a reservation for each pod that occupies a slot.

    `estimate_s` is used for pods that carry no decision of the planner.
    """

    ledger: ReservationLedger
    devices: DeviceIndex
    clock: Callable[[], float]
    estimate_s: EstimateRun
    bind_timeout_s: float
    _pods: dict[PodUid, PodView] = field(default_factory=dict)
    _by_name: dict[str, set[PodUid]] = field(default_factory=dict)
    """Pods by the names of their node and device."""
    _estimated: set[PodUid] = field(default_factory=set)
    """Pods whose expected time comes from the latency table."""
    _remaining: dict[TaskKey, RemainingTime] = field(default_factory=dict)
    """Reported by runners; the pod may not be known yet."""

    def upsert(self, pod: PodView) -> bool:
        """Upsert a pod that is past its gate; return whether its reservation changed."""
        before = self._pods.get(pod.uid)
        if before is not None and (before.node, before.device) != (pod.node, pod.device):
            self._drop_names(before)
        self._pods[pod.uid] = pod
        for name in _node_and_device(pod):
            self._by_name.setdefault(name, set()).add(pod.uid)
        return self._reserve(pod)

    def set_remaining(self, task: TaskKey, remaining: RemainingTime | None) -> bool:
        """Store a runner's report, or drop it (None); return whether a reservation changed.

        Reported progress takes precedence over the prediction.
        """
        if self._remaining.get(task) == remaining:
            return False
        before = self._remaining.pop(task, None)
        if remaining is not None:
            self._remaining[task] = remaining
        pods = {report.pod for report in (before, remaining) if report is not None}
        changed = [self._reserve(self._pods[pod]) for pod in pods & self._pods.keys()]
        return any(changed)

    def release(self, uid: PodUid) -> None:
        """Release the reservation of a pod that finished or was deleted."""
        if (pod := self._pods.pop(uid, None)) is not None:
            self._drop_names(pod)
        self._estimated.discard(uid)
        self.ledger.release(uid)

    def renew(self, uid: PodUid) -> None:
        """Reserve again for a pod whose reservation expired but that could not be deleted."""
        if (pod := self._pods.get(uid)) is not None:
            self._reserve(pod)

    def invalidate(self, names: Iterable[str] | None = None) -> None:
        """Derive again the reservations on nodes or devices of these names.

        None: those that were estimated from the latency table, which changed.
        """
        if names is None:
            pods = set(self._estimated)
        else:
            pods = {uid for name in names for uid in self._by_name.get(name, ())}
        for uid in pods:
            self._reserve(self._pods[uid])

    def _reserve(self, pod: PodView) -> bool:
        before, device = self.ledger.get(pod.uid), self.devices.device_of(pod)
        self._estimated.discard(pod.uid)
        if device is None:
            # Admitted by this process, and opened before the watch shows the decision.
            if before is not None and before.expires_s is not None and pod.node is None:
                return False
            return self.ledger.release(pod.uid)
        started_s = expires_s = None
        if pod.node is not None:
            started_s = self._started_s(pod, before)
        elif before is None or (expires_s := before.expires_s) is None:
            expires_s = self.clock() + self.bind_timeout_s
        expected_s = self._expected_s(pod, device)
        remaining = self._remaining.get(task_key(pod))
        if remaining is not None and remaining.pod == pod.uid and started_s is not None:
            left_s = min(remaining.seconds, REPORTED_SLOWDOWN * expected_s)
            expected_s = max(remaining.at_s - started_s, 0.0) + left_s
        known_device = self.devices.get(device)
        slots = min(pod.slots, known_device.slots if known_device else 1)
        reservation = Reservation(
            device, min(expected_s, MAX_EXPECTED_S), started_s, expires_s, slots, pod.namespace
        )
        self.ledger.reserve(pod.uid, reservation)
        return reservation != before

    def _started_s(self, pod: PodView, before: Reservation | None) -> float:
        if before is not None and before.started_s is not None:
            return before.started_s
        return _within_its_second(pod.bound_s, self.clock())

    def _expected_s(self, pod: PodView, device: DeviceId) -> float:
        inferences = 1
        if (decision := Decision.read(pod.decision)) is not None:
            chosen = decision.candidates[0]
            if chosen.device == device:
                return chosen.cold_start_seconds + chosen.transfer_seconds + chosen.run_seconds
            inferences = chosen.inferences
        self._estimated.add(pod.uid)
        return self.estimate_s(pod, device, inferences)

    def _drop_names(self, pod: PodView) -> None:
        for name in _node_and_device(pod):
            pods = self._by_name[name]
            pods.discard(pod.uid)
            if not pods:
                del self._by_name[name]


def _node_and_device(pod: PodView) -> set[str]:
    """Names of a pod's node and device, which are often equal."""
    return {name for name in (pod.node, pod.device) if name}


def _within_its_second(at_s: float | None, now_s: float) -> float:
    """Best estimate of an instant that was truncated to a whole second and seen at `now_s`."""
    return now_s if at_s is None else min(max(now_s, at_s), at_s + TIMESTAMP_RESOLUTION_S)
