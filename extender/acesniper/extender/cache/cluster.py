"""The live view of the cluster that decisions are made on, filled by watches.

Everything here runs on one event loop, between two awaits, so that no lock is needed and a decision
sees one consistent state. Nothing here calls out.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import inf

from acesniper.api import convert
from acesniper.api.objects import Json, NodeView, PodView, namespaced_key, object_key
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import FINISHED, DeviceProfile, InferenceTask, ModelProfile
from acesniper.domain.cold_start import ColdStartEstimator
from acesniper.domain.device import Device, DeviceId, NodeName
from acesniper.domain.reservations import PodUid, Reservation, ReservationLedger
from acesniper.domain.task import ModelKey, TaskKey
from acesniper.extender.cache.availability import Availability
from acesniper.extender.cache.cold_start import ColdStarts
from acesniper.extender.cache.devices import DeviceIndex
from acesniper.extender.cache.pending import PendingTasks, task_key
from acesniper.extender.cache.reservations import RemainingTime, Reservations
from acesniper.extender.estimates import EstimateCache
from acesniper.extender.latency_table import LatencyTable, MeasuredDevice, PendingPredictions
from acesniper.extender.snapshot import PlanningSnapshot
from acesniper.runtime.watch import DELETE

DEFAULT_RUN_S = 30.0
"""Expected run time of a pod that takes a slot and says nothing of a model."""


class FastestByNode(dict[str, float]):
    """Seconds by node name; a name that is missing takes for ever."""

    def __missing__(self, name: str) -> float:
        return inf


@dataclass(slots=True)
class ClusterCache:
    """Devices, models, tasks and pods, the latency table, and the ledger.

    `clock` gives seconds since the epoch. `changed` is set by every event that may change a plan.
    """

    table: LatencyTable
    clock: Callable[[], float]
    bind_timeout_s: float = 15.0
    start_times: ColdStartEstimator = field(default_factory=ColdStartEstimator)
    ledger: ReservationLedger = field(default_factory=ReservationLedger)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    pods: dict[PodUid, PodView] = field(default_factory=dict)
    devices: DeviceIndex = field(default_factory=DeviceIndex)
    occupancy: Reservations = field(init=False)
    cold_starts: ColdStarts = field(init=False)
    estimating: EstimateCache = field(init=False)
    waiting: PendingTasks = field(init=False)
    waits: Availability = field(init=False)
    _fastest: dict[ModelKey, FastestByNode] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.occupancy = Reservations(
            self.ledger, self.devices, self.clock, self._guess_s, self.bind_timeout_s
        )
        self.cold_starts = ColdStarts(self.table, self.start_times)
        self.estimating = EstimateCache(self.table, self.devices, self.cold_starts, self.clock)
        self.waiting = PendingTasks(self._memory_bytes, self.ledger.__contains__)
        self.waits = Availability(self.ledger, self.devices)

    # --- what watches tell ---------------------------------------------------------------------

    def take_node(self, change: str, node: Json) -> None:
        """A node changed: its readiness or labels may change who can run what."""
        name = NodeName(node["metadata"]["name"])
        self.cold_starts.take_node(name, None if change == DELETE else node)
        view = None if change == DELETE else NodeView.of(node)
        if self.devices.set_node(name, view):
            self._devices_changed((name,), (name,))

    def take_device_profile(self, change: str, manifest: Json) -> None:
        """A profile changed: its device appears, goes, or is to be predicted anew."""
        device = DeviceId(manifest["metadata"]["name"])
        profile = None if change == DELETE else convert.parse_resource(DeviceProfile, manifest)
        self.table.set_device(device, MeasuredDevice.of(profile.status) if profile else None)
        before = self.devices.node_of(device)
        self.devices.set_profile(device, profile)
        nodes = {each for each in (before, self.devices.node_of(device)) if each is not None}
        self._devices_changed((device, *nodes), nodes)

    def take_model_profile(self, change: str, manifest: Json) -> None:
        """A model was read, or is gone."""
        metadata = manifest["metadata"]
        model = ModelKey(namespaced_key(metadata["namespace"], metadata["name"]))
        if change == DELETE:
            found = None
        else:
            found = convert.model_features(convert.parse_resource(ModelProfile, manifest))
        self.table.set_model(model, found)
        self.waiting.model_changed(model)
        if found is None:
            self._table_changed([model])
        self.changed.set()

    def predict_anew(self) -> None:
        """Another network predicts from now on."""
        self.table.predict_anew()
        self.changed.set()

    def take_predictions(self, news: PendingPredictions) -> None:
        """What was new in the table is predicted."""
        self.table.take(news)
        if news.devices:
            self.estimating.devices_changed()
        self._table_changed(news.models)

    def take_task(self, change: str, manifest: Json) -> None:
        """A task was made, changed or is gone."""
        key = TaskKey(object_key(manifest))
        found = None if change == DELETE else convert.parse_resource(InferenceTask, manifest)
        if found is None:
            self.cold_starts.drop_task(manifest)
        else:
            self.cold_starts.take_task(found)
        self.occupancy.progressed(key, _left(found))
        self.waiting.take_task(key, found)
        self.changed.set()

    def take_pod(self, change: str, manifest: Json) -> None:
        """A pod changed: the ledger follows what is bound, running and gone."""
        uid = PodUid(manifest["metadata"]["uid"])
        if change == DELETE:
            if (gone := self.pods.pop(uid, None)) is not None:
                self.waiting.drop_pod(gone)
            self._freed(uid)
            return
        pod = PodView.of(manifest)
        if pod.model is None and not pod.slots:
            return  # takes nothing of what we give out
        before = self.pods.get(uid)
        if before is not None and before.task != pod.task:
            self.waiting.drop_pod(before)  # somebody took its label away
        self.pods[uid] = pod
        promised = False
        if pod.finished:
            self._freed(uid)
        elif pod.slots and not pod.gated:
            promised = self.occupancy.take(pod)
        self.waiting.take_pod(pod)
        self.cold_starts.take_pod(pod)
        if promised or before is None or _gates(before) != _gates(pod):
            self.changed.set()

    # --- what decisions ask --------------------------------------------------------------------

    def picture(self) -> PlanningSnapshot:
        """Everything a plan needs, as it is now."""
        now_s = self.clock()
        self.waiting.forgive(now_s)
        return PlanningSnapshot(
            now_s,
            self.estimating.estimates(),
            self.ledger.reservations(),
            tuple(self.waiting.ready.values()),
            tuple(self.waiting.behind.values()),
            dict(self.waiting.gated),
        )

    def still_waits(self, task: TaskKey, pod: PodUid) -> PodView | None:
        """The gated pod of a task as it is now, if that is the one that was planned for."""
        found = self.waiting.gated.get(task)
        return found if found is not None and found.uid == pod else None

    def has_room(self, device: DeviceId) -> bool:
        """Whether a device has a free slot at this moment."""
        found = self.devices.get(device)
        if found is None or not found.schedulable:
            return False
        return sum(each.slots for each in self.ledger.on(device)) < found.slots

    def fastest_by_node(self, model: ModelKey) -> Mapping[str, float] | None:
        """Node name to the latency of its fastest device; None for an unknown model.

        A node without one is not `in` it, and looks up as infinitely slow.
        """
        if self.table.features(model) is None:
            return None
        if (cached := self._fastest.get(model)) is None:
            cached = self._fastest[model] = self._find_fastest(model)
        return cached

    def free_at_s(self) -> Mapping[str, float]:
        """Node name to the instant at which one of its slots is free; only nodes that are busy."""
        return self.waits.free_at_s(self.clock())

    def reserve(self, pod: PodView, device: Device, expected_s: float) -> None:
        """Promise a device to a pod that is being admitted."""
        expires_s = self.clock() + self.bind_timeout_s
        promise = Reservation(device.id, expected_s, expires_s=expires_s)
        self.ledger.reserve(pod.uid, promise)
        self.waiting.look_again(task_key(pod))

    def withdraw(self, pod: PodView) -> None:
        """Take a reservation back: its admission failed."""
        self._freed(pod.uid)
        self.waiting.look_again(task_key(pod))

    def expired(self) -> list[PodView]:
        """Release reservations that were not bound in time; their devices are avoided for a while.

        Without that, a node that takes no pods (a taint, a full disk) would be chosen for ever.
        """
        now_s = self.clock()
        late = []
        for uid, promise in self.ledger.expire(now_s).items():
            self.changed.set()
            pod = self.pods.get(uid)
            if pod is not None and pod.node is None:
                late.append(pod)
                self.waiting.avoid(pod, promise.device, now_s)
        return late

    def renew(self, pod: PodView) -> None:
        """Promise anew what expired: the pod could not be withdrawn, and is to be next time."""
        self.occupancy.renew(pod.uid)

    # --- inside --------------------------------------------------------------------------------

    def _find_fastest(self, model: ModelKey) -> FastestByNode:
        able = [each for each in self.devices if each.schedulable]
        seen = self.table.view()
        latency, _ = seen.over(model, seen.columns_of([each.id for each in able]))
        found = FastestByNode()
        for device, seconds in zip(able, latency.tolist(), strict=True):
            if seconds < found[device.node]:
                found[device.node] = seconds
        return found

    def _freed(self, uid: PodUid) -> None:
        self.occupancy.free(uid)
        self.changed.set()

    def _memory_bytes(self, model: ModelKey) -> int | None:
        found = self.table.features(model)
        return None if found is None else found.peak_memory_bytes

    def _guess_s(self, pod: PodView, device: DeviceId, inferences: int) -> float:
        model = ModelKey(namespaced_key(pod.namespace, str(pod.model)))
        latency_s = self.table.latency_s(model, device)
        return DEFAULT_RUN_S if latency_s is None else inferences * latency_s

    def _devices_changed(self, names: Collection[str], nodes: Collection[str]) -> None:
        self.occupancy.look_again(names)
        self.waits.look_again(nodes, self.clock())
        self._fastest.clear()
        self.estimating.devices_changed()
        self.changed.set()

    def _table_changed(self, models: Collection[ModelKey]) -> None:
        self.estimating.models_changed(models)
        self._fastest.clear()
        self.occupancy.guess_again()


def _gates(pod: PodView) -> tuple[bool, tuple[str, ...]]:
    return pod.gated, pod.other_gates


def _left(task: InferenceTask | None) -> RemainingTime | None:
    """What a task's runner said last."""
    if task is None or task.status.phase in FINISHED:
        return None
    pod, progress = task.status.pod_uid, task.status.progress
    if pod is None or progress is None or not progress.done:
        return None
    left = max(progress.total - progress.done, 0)
    seconds = progress.run_seconds / progress.done * left
    return RemainingTime(PodUid(pod), epoch_s(progress.seen_at), seconds)
