"""Cold starts on this fleet: which node has which image and model, and what starts took so far."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from acesniper.api.objects import Json, PodView, namespaced_key
from acesniper.api.v1alpha1 import InferenceTask, Phase
from acesniper.domain.cold_start import IMAGE_BYTES, ColdStart, ColdStartEstimator, ObservedStart
from acesniper.domain.device import Device
from acesniper.domain.task import ModelKey
from acesniper.extender.latency_table import LatencyTable
from acesniper.policies.estimates import StartRow

BYTES_PER_PARAMETER = 4.0
REFRESH_S = 10.0
"""What was learned changes the estimates this often at most: each time, all are worked out anew."""


@dataclass(slots=True)
class NodeContents:
    """What a node has: images as it reports them, and what we saw run there since it booted."""

    boot: str = ""
    images: frozenset[str] = frozenset()
    ran: set[str] = field(default_factory=set)
    """Models and images."""


@dataclass(slots=True)
class ColdStarts:
    """Told of nodes, pods and finished tasks; asked for the start of a model on a device."""

    table: LatencyTable
    times: ColdStartEstimator = field(default_factory=ColdStartEstimator)
    changed: bool = False
    _nodes: dict[str, NodeContents] = field(default_factory=dict)
    _image_bytes: dict[str, float] = field(default_factory=dict)
    _image_of: dict[ModelKey, str] = field(default_factory=dict)
    _taught: dict[str, str | None] = field(default_factory=dict)
    """Finished tasks by UID, and the pod that taught us."""

    def take_node(self, name: str, node: Json | None) -> None:
        """A node changed; None: it is gone."""
        if node is None:
            self._nodes.pop(name, None)
            return
        status = node.get("status", {})
        boot = str(status.get("nodeInfo", {}).get("bootID", ""))
        known = self._nodes.get(name)
        if known is None or known.boot != boot:
            known = self._nodes[name] = NodeContents(boot)
            self.changed = True
        listed = status.get("images") or ()
        images = frozenset(each for image in listed for each in image.get("names") or ())
        if images != known.images:
            known.images = images
            self.changed = True
            for image in listed:
                size = float(image.get("sizeBytes") or 0)
                self._image_bytes |= dict.fromkeys(image.get("names") or (), size)

    def take_pod(self, pod: PodView) -> None:
        """A pod was seen: what runs on a node is there afterwards."""
        if pod.model is None:
            return
        model = ModelKey(namespaced_key(pod.namespace, str(pod.model)))
        if self._image_of.get(model) != pod.image:
            self._image_of[model] = pod.image
            self.changed = True
        if pod.node is not None and pod.phase in ("Running", "Succeeded"):
            ran = self._nodes.setdefault(pod.node, NodeContents()).ran
            if not {model, pod.image} <= ran:
                ran.update((model, pod.image))
                self.changed = True

    def take_task(self, resource: InferenceTask) -> None:
        """A task was seen: once it succeeded, it tells what its start took."""
        status, uid = resource.status, str(resource.metadata.get("uid"))
        decision, observed = status.decision, status.observed
        if status.phase is not Phase.SUCCEEDED or decision is None or observed is None:
            return
        if not decision.candidates or self._taught.get(uid, "") == status.pod_uid:
            return
        self._taught[uid] = status.pod_uid
        model = ModelKey(namespaced_key(resource.metadata["namespace"], str(status.model_profile)))
        chosen = decision.candidates[0]
        if chosen.node != status.node:
            return  # placed by somebody else
        at = self._at(
            *(chosen.node, chosen.device, model),
            pulls=decision.pulls_image,
            fetches=decision.fetches_model,
        )
        seen = ObservedStart(
            observed.container_seconds, observed.fetch_seconds, observed.load_seconds
        )
        self.times.learn(at, seen)
        self.changed = True

    def drop_task(self, manifest: Json) -> None:
        """A task is gone."""
        self._taught.pop(str(manifest["metadata"].get("uid")), None)

    def circumstances(self, model: ModelKey, device: Device) -> ColdStart:
        """Of a start that would happen now."""
        here = self._nodes.get(device.node)
        image = self._image_of.get(model, "")
        there = here is None or not here.images or image in here.images or image in here.ran
        return self._at(
            *(device.node, device.id, model),
            pulls=bool(image) and not there,
            fetches=here is None or model not in here.ran,
        )

    def start(self, model: ModelKey, devices: Sequence[Device]) -> StartRow:
        """What a model's start takes on each device."""
        at = [self.circumstances(model, each) for each in devices]
        cold_s = np.fromiter(map(self.times.cold_s, at), float, len(at))
        return StartRow(cold_s, np.fromiter(map(self.times.transfer_s, at), float, len(at)))

    def _at(
        self, node: str, device: str, model: ModelKey, *, pulls: bool, fetches: bool
    ) -> ColdStart:
        found = self.table.features(model)
        return ColdStart(
            *(node, device, model),
            model_bytes=BYTES_PER_PARAMETER * found.parameters if found else 0.0,
            image_bytes=self._image_bytes.get(self._image_of.get(model, "")) or IMAGE_BYTES,
            pulls=pulls,
            fetches=fetches,
        )


class CachedStarts(Mapping[ModelKey, StartRow]):
    """Starts on some devices, worked out when they are first asked for, and kept for a while.

    A plan may read them in another thread.
    """

    def __init__(self, cold_starts: ColdStarts, devices: Sequence[Device], now_s: float) -> None:
        self._cold_starts, self._devices = cold_starts, devices
        self._made: dict[ModelKey, StartRow] = {}
        self._since_s = now_s

    def refresh(self, now_s: float) -> None:
        """Forget what was worked out, if it is old and something was learned meanwhile."""
        if self._cold_starts.changed and now_s - self._since_s >= REFRESH_S:
            self._made, self._since_s = {}, now_s
            self._cold_starts.changed = False

    def __getitem__(self, model: ModelKey) -> StartRow:
        made = self._made
        start = made.get(model)
        if start is None:
            start = made[model] = self._cold_starts.start(model, self._devices)
        return start

    def __iter__(self) -> Iterator[ModelKey]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)
