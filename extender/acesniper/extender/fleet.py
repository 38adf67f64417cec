"""The live view of the cluster that decisions are made on, filled by watches.

Everything here runs on one event loop, between two awaits, so that no lock is needed and a decision
sees one consistent state. Nothing here calls out.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np

from acesniper.api import convert
from acesniper.api.decision import Decision
from acesniper.api.pod import PodView
from acesniper.api.v1alpha1 import FINISHED, DeviceProfile, InferenceTask, ModelProfile
from acesniper.domain.backlog import Ledger, PodUid, Promise, slots_free_s
from acesniper.domain.device import Device, DeviceId, NodeName
from acesniper.domain.task import ModelKey, Task
from acesniper.extender.devices import Devices, NodeView
from acesniper.extender.table import LatencyTable
from acesniper.policies.estimates import Estimates, Start
from acesniper.policies.snapshot import Snapshot
from acesniper.runtime.kube import Object
from acesniper.runtime.reflector import DELETE

AVOID_S = 60.0
"""How long a device that did not take a task's pod is not chosen for it again."""
UNKNOWN_RUN_S = 30.0
"""Expected run time of a pod that takes a slot and says nothing of a model."""


class Fastest(dict[str, float]):
    """Seconds by node name; a name that is missing takes for ever."""

    def __missing__(self, name: str) -> float:
        return inf


@dataclass(slots=True)
class Fleet:
    """Devices, models, tasks and pods, the latency table, and the ledger.

    `clock` gives seconds since the epoch. `changed` is set by every event that may change a plan.
    """

    table: LatencyTable
    clock: Callable[[], float]
    bind_timeout_s: float = 15.0
    cold_start_s: float = 0.0
    ledger: Ledger = field(default_factory=Ledger)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    pods: dict[PodUid, PodView] = field(default_factory=dict)
    tasks: dict[str, InferenceTask] = field(default_factory=dict)
    devices: Devices = field(default_factory=Devices)
    _homeless: set[PodUid] = field(default_factory=set)
    """Pods that take a slot of a device that is not known yet."""
    _avoid: dict[str, dict[DeviceId, float]] = field(default_factory=dict)
    _fastest: dict[ModelKey, Fastest] = field(default_factory=dict)
    _estimates: Estimates | None = None

    # --- what watches tell ---------------------------------------------------------------------

    def take_node(self, change: str, node: Object) -> None:
        """A node changed: its readiness or labels may change who can run what."""
        name = NodeName(node["metadata"]["name"])
        view = None if change == DELETE else NodeView.of(node)
        if self.devices.set_node(name, view):
            self._devices_changed()

    def take_device_profile(self, change: str, manifest: Object) -> None:
        """A profile changed: its device appears, goes, or is predicted anew."""
        device = DeviceId(manifest["metadata"]["name"])
        profile = None if change == DELETE else convert.read(DeviceProfile, manifest)
        self.table.set_device(device, convert.hardware(profile.status) if profile else None)
        self.devices.set_profile(device, profile)
        self._devices_changed()

    def take_model_profile(self, change: str, manifest: Object) -> None:
        """A model was read, or is gone."""
        metadata = manifest["metadata"]
        model = ModelKey(f"{metadata['namespace']}/{metadata['name']}")
        if change == DELETE:
            found = None
        else:
            found = convert.model_features(convert.read(ModelProfile, manifest))
        self.table.set_model(model, found)
        self._fastest.pop(model, None)
        self._estimates = None
        self.changed.set()

    def take_task(self, change: str, manifest: Object) -> None:
        """A task was made, changed or is gone."""
        key = f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}"
        if change == DELETE:
            self.tasks.pop(key, None)
        else:
            self.tasks[key] = convert.read(InferenceTask, manifest)
        self.changed.set()

    def take_pod(self, change: str, manifest: Object) -> None:
        """A pod changed: the ledger follows what is bound, running and gone."""
        uid = PodUid(manifest["metadata"]["uid"])
        if change == DELETE:
            self.pods.pop(uid, None)
            self._freed(uid)
            return
        pod = PodView.of(manifest)
        if pod.model is None and not pod.slots:
            return  # takes nothing of what we give out
        before = self.pods.get(uid)
        self.pods[uid] = pod
        if pod.finished:
            self._freed(uid)
            return
        if pod.slots and not pod.gated:
            self._take_slot(pod, before)
        if before is None or before.gated != pod.gated:
            self.changed.set()

    # --- what decisions ask --------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """One frozen view for a plan."""
        now_s = self.clock()
        busy = {each.id: self.ledger.busy_s(each.id, now_s) for each in self.devices}
        if self._estimates is None:
            self._estimates = self._estimate()
        return Snapshot(now_s, self._estimates, busy)

    def waiting(self) -> tuple[list[Task], dict[str, PodView]]:
        """Tasks that are neither finished, suspended nor admitted; and their gated pods."""
        gated: dict[str, PodView] = {}
        admitted: set[str] = set()
        for pod in self.pods.values():
            if pod.task is None or pod.finished or pod.deleting:
                continue
            key = f"{pod.namespace}/{pod.task}"
            if pod.gated and pod.uid not in self.ledger:
                gated[key] = pod
            else:
                admitted.add(key)
        tasks = [
            task
            for key, resource in self.tasks.items()
            if key not in admitted
            and (task := self._plannable(key, resource, gated.get(key))) is not None
        ]
        return tasks, gated

    def fastest_by_node(self, model: ModelKey) -> Mapping[str, float] | None:
        """Node name to the latency of its fastest device; None for an unknown model.

        A node without one is not `in` it, and looks up as infinitely slow.
        """
        if model not in self.table.latency:
            return None
        if (cached := self._fastest.get(model)) is None:
            cached = Fastest()
            for device_id, prediction in self.table.latency[model].items():
                device = self.devices.get(device_id)
                if device is not None and device.schedulable:
                    best = cached.get(device.node, prediction.latency_s)
                    cached[device.node] = min(best, prediction.latency_s)
            self._fastest[model] = cached
        return cached

    def wait_by_node(self) -> dict[str, float]:
        """Node name to the seconds until one of its slots is free; only nodes that are busy."""
        now_s = self.clock()
        busy = [device for each in self.ledger.devices() if (device := self.devices.get(each))]
        return {
            node: min(self._wait_s(each, now_s) for each in self.devices.on_node[node])
            for node in {device.node for device in busy}
        }

    def reserve(self, pod: PodView, device: Device, expected_s: float) -> None:
        """Promise a device to a pod that is being admitted."""
        expires_s = self.clock() + self.bind_timeout_s
        promise = Promise(device.id, expected_s, expires_s=expires_s)
        self.ledger.promise(pod.uid, promise)

    def withdraw(self, pod: PodView) -> None:
        """Take a reservation back: its admission failed."""
        self._freed(pod.uid)

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
                avoided = self._avoid.setdefault(f"{pod.namespace}/{pod.task}", {})
                avoided[promise.device] = now_s + AVOID_S
        return late

    def renew(self, pod: PodView) -> None:
        """Promise anew what expired: the pod could not be withdrawn, and is to be next time."""
        if (known := self.pods.get(pod.uid)) is not None:
            self._take_slot(known, known)

    def _estimate(self) -> Estimates:
        devices = tuple(self.devices)
        start = Start(np.full(len(devices), self.cold_start_s), np.zeros(len(devices)))
        rows = {model: self.table.row(model, devices) for model in self.table.latency}
        return Estimates(devices, rows, self.devices.labels(), dict.fromkeys(rows, start))

    # --- inside --------------------------------------------------------------------------------

    def _wait_s(self, device: Device, now_s: float) -> float:
        return slots_free_s(self.ledger.busy_s(device.id, now_s), device.slots)[0]

    def _freed(self, uid: PodUid) -> None:
        self._homeless.discard(uid)
        self.ledger.release(uid)
        self.changed.set()

    def _plannable(self, key: str, resource: InferenceTask, pod: PodView | None) -> Task | None:
        status = resource.status
        if status.phase in FINISHED or resource.spec.suspend or not status.model_profile:
            return None
        model = ModelKey(f"{resource.metadata['namespace']}/{status.model_profile}")
        found = self.table.features(model)
        if found is None or resource.metadata.get("deletionTimestamp"):
            return None
        task = convert.task(resource, status.model_profile, found.peak_memory_bytes)
        excluded = self._excluded(key)
        # The API server has looked the priority class up for the pod.
        return replace(task, priority=pod.priority if pod else 0, excluded=excluded)

    def _excluded(self, task: str) -> frozenset[DeviceId]:
        """Devices a task's pod was withdrawn from a moment ago; outdated entries go."""
        now_s = self.clock()
        recent = {each: end for each, end in self._avoid.get(task, {}).items() if end > now_s}
        if recent:
            self._avoid[task] = recent
        else:
            self._avoid.pop(task, None)
        return frozenset(recent)

    def _promise(self, pod: PodView, device: Device, before: PodView | None) -> None:
        uid = pod.uid
        known = self.ledger.get(uid)
        seen_start = before is not None and before.started_s is None
        started_s = pod.started_s
        if started_s is not None and seen_start:
            # The API server's times are whole seconds; what we saw happen is finer.
            started_s = self.clock()
        expires_s = None
        if pod.node is None:
            expires_s = known.expires_s if known else self.clock() + self.bind_timeout_s
        expected_s = known.expected_s if known else self._expected_s(pod, device)
        if known is not None and known.started_s is not None:
            started_s = known.started_s
        self.ledger.promise(uid, Promise(device.id, expected_s, started_s, expires_s))
        if before is None or (before.started_s is None) != (pod.started_s is None):
            self.changed.set()

    def _expected_s(self, pod: PodView, device: Device) -> float:
        if (decision := Decision.read(pod.decision)) is not None:
            chosen = decision.candidates[0]
            return chosen.cold_start_seconds + chosen.transfer_seconds + chosen.run_seconds
        model = ModelKey(f"{pod.namespace}/{pod.model}")
        prediction = self.table.latency.get(model, {}).get(device.id)
        return prediction.latency_s if prediction else UNKNOWN_RUN_S

    def _devices_changed(self) -> None:
        for pod in [self.pods[uid] for uid in self._homeless if uid in self.pods]:
            self._take_slot(pod, pod)
        self._fastest.clear()
        self._estimates = None
        self.changed.set()

    def _take_slot(self, pod: PodView, before: PodView | None) -> None:
        """Write the promise of a pod that is on a device, or remember it until that is known."""
        device = self.devices.of_pod(pod)
        if device is not None:
            self._homeless.discard(pod.uid)
            self._promise(pod, device, before)
        elif pod.device or pod.node:
            self._homeless.add(pod.uid)
