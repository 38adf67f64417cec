"""The cluster cache: live state that plans and scheduler responses are computed from.

Everything here runs on one event loop, between two awaits. No lock is needed, and each decision
reads one consistent state. Nothing here performs I/O.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import inf

from acesniper.api.objects import DecisionKey, PodView, namespaced_key
from acesniper.domain.cold_start import ColdStartEstimator
from acesniper.domain.device import Device, DeviceId
from acesniper.domain.reservations import PodUid, Reservation, ReservationLedger
from acesniper.domain.task import ModelKey, TaskKey
from acesniper.extender.cache.availability import Availability
from acesniper.extender.cache.cold_start import ColdStartCache
from acesniper.extender.cache.devices import DeviceIndex
from acesniper.extender.cache.pending import PendingTasks, task_key
from acesniper.extender.cache.reservations import Reservations
from acesniper.extender.estimates import EstimateCache
from acesniper.extender.latency_table import LatencyTable, PendingPredictions

DEFAULT_RUN_S = 30.0
"""Expected run time of a pod that occupies a slot and has no prediction."""


class FastestByNode(dict[str, float]):
    """Seconds by node name; a missing node is infinitely slow."""

    def __missing__(self, name: str) -> float:
        return inf


@dataclass(slots=True)
class ClusterCache:
    """Devices, pending tasks, pods, the latency table and the reservation ledger.

    Attributes:
        table: latencies of all models on all devices.
        clock: returns seconds since the epoch.
        bind_timeout_s: how long a reservation lasts without its pod being bound.
        changed: set by every event that may change the plan.
        key: signs and verifies the planner's decisions.
    """

    table: LatencyTable
    clock: Callable[[], float]
    bind_timeout_s: float = 15.0
    start_times: ColdStartEstimator = field(default_factory=ColdStartEstimator)
    ledger: ReservationLedger = field(default_factory=ReservationLedger)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    key: DecisionKey = field(default_factory=DecisionKey.random)
    pods: dict[PodUid, PodView] = field(default_factory=dict)
    devices: DeviceIndex = field(default_factory=DeviceIndex)
    reservations: Reservations = field(init=False)
    cold_starts: ColdStartCache = field(init=False)
    estimates: EstimateCache = field(init=False)
    pending: PendingTasks = field(init=False)
    availability: Availability = field(init=False)
    _fastest: dict[ModelKey, FastestByNode] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reservations = Reservations(
            ledger=self.ledger,
            devices=self.devices,
            clock=self.clock,
            estimate_s=self._estimate_run_s,
            bind_timeout_s=self.bind_timeout_s,
        )
        self.cold_starts = ColdStartCache(self.table, self.start_times)
        self.pending = PendingTasks(self._memory_bytes, self.ledger.__contains__)
        self.estimates = EstimateCache(
            table=self.table,
            devices=self.devices,
            cold_starts=self.cold_starts,
            clock=self.clock,
            rules=self.pending.rules,
        )
        self.availability = Availability(self.ledger, self.devices)

    # --- Read by decisions ---------------------------------------------------------------------

    def fastest_by_node(self, model: ModelKey) -> Mapping[str, float] | None:
        """Return the latency of each node's fastest device; None for an unknown model.

        A node without a prediction is not `in` the result and looks up as infinitely slow.
        """
        if self.table.features(model) is None:
            return None
        if (fastest := self._fastest.get(model)) is None:
            fastest = self._fastest[model] = self._compute_fastest(model)
        return fastest

    def free_at_s(self) -> Mapping[str, float]:
        """Return the instant at which each busy node has a free slot."""
        return self.availability.free_at_s(self.clock())

    def has_free_slot(self, device_id: DeviceId) -> bool:
        """Whether a device is schedulable and has a free slot now."""
        device = self.devices.get(device_id)
        if device is None or not device.schedulable:
            return False
        reserved = sum(reservation.slots for reservation in self.ledger.on(device_id))
        return reserved < device.slots

    def can_start(self, pod: PodView, device: Device) -> bool:
        """Whether a slot of a device is free, and its node has left what a gated pod requests."""
        return self.has_free_slot(device.id) and self.pending.rules.fits(pod.uid, device)

    def gated_pod(self, task: TaskKey, uid: PodUid) -> PodView | None:
        """Return the current gated pod of a task, if it is still the one with this UID."""
        pod = self.pending.gated_pods.get(task)
        return pod if pod is not None and pod.uid == uid else None

    # --- Changed by the planner ----------------------------------------------------------------

    def reserve(self, pod: PodView, device: Device, expected_s: float) -> None:
        """Reserve a slot of a device for a pod that is being admitted."""
        expires_s = self.clock() + self.bind_timeout_s
        reservation = Reservation(
            device.id, expected_s, expires_s=expires_s, namespace=pod.namespace
        )
        self.ledger.reserve(pod.uid, reservation)
        self.pending.rules.reserve(pod.uid, device)
        self.pending.invalidate(task_key(pod))

    def cancel_reservation(self, pod: PodView) -> None:
        """Cancel the reservation of a pod whose admission failed; its task is pending again."""
        self.release(pod.uid)
        self.pending.rules.cancel(pod.uid)
        self.pending.invalidate(task_key(pod))

    def renew_reservation(self, pod: PodView) -> None:
        """Reserve again for an expired pod that could not be deleted; it is retried later."""
        self.reservations.renew(pod.uid)

    def expire_reservations(self) -> list[PodView]:
        """Release reservations that were not bound in time, and return their pods.

        Their devices are excluded for these tasks for a while. Otherwise a node that accepts no
        pods (a taint, a full disk) would be chosen again and again.
        """
        now_s = self.clock()
        expired = []
        for uid, reservation in self.ledger.expire(now_s).items():
            self.changed.set()
            pod = self.pods.get(uid)
            if pod is not None and pod.node is None:
                expired.append(pod)
                self.pending.rules.cancel(uid)
                self.pending.avoid_device(pod, reservation.device, now_s)
        return expired

    def commit_predictions(self, predictions: PendingPredictions) -> None:
        """Write finished predictions to the latency table."""
        self.table.commit(predictions)
        if predictions.devices:
            self.estimates.invalidate()
        self.invalidate_models(predictions.models)

    # --- Changed by events ---------------------------------------------------------------------

    def release(self, uid: PodUid) -> None:
        """Release the reservation of a pod that finished or was deleted."""
        self.reservations.release(uid)
        self.changed.set()

    def invalidate_predictions(self) -> None:
        """Predict everything again: the network was replaced."""
        self.table.invalidate()
        self.changed.set()

    def invalidate_models(self, models: Collection[ModelKey]) -> None:
        """Derive again what depends on the latencies of these models."""
        self.estimates.invalidate(models)
        self._fastest.clear()
        self.reservations.invalidate()

    def invalidate_devices(self, names: Collection[str], nodes: Collection[str]) -> None:
        """Derive again what depends on devices or nodes of these names, which are on `nodes`."""
        self.reservations.invalidate(names)
        self.availability.invalidate(nodes, self.clock())
        self._fastest.clear()
        self.estimates.invalidate()
        self.changed.set()

    # --- Internal ------------------------------------------------------------------------------

    def _compute_fastest(self, model: ModelKey) -> FastestByNode:
        devices = [device for device in self.devices if device.schedulable]
        latencies = self.table.view()
        columns = latencies.columns_of([device.id for device in devices])
        latency_s, _ = latencies.over(model, columns)
        fastest = FastestByNode()
        for device, seconds in zip(devices, latency_s.tolist(), strict=True):
            if seconds < fastest[device.node]:
                fastest[device.node] = seconds
        return fastest

    def _memory_bytes(self, model: ModelKey) -> int | None:
        features = self.table.features(model)
        return None if features is None else features.peak_memory_bytes

    def _estimate_run_s(self, pod: PodView, device: DeviceId, inferences: int) -> float:
        latency_s = self.table.latency_s(
            ModelKey(namespaced_key(pod.namespace, str(pod.model))), device
        )
        return DEFAULT_RUN_S if latency_s is None else inferences * latency_s
