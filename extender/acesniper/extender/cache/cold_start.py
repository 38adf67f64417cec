"""Cold starts: which node has which image and model, and the start times learned from tasks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acesniper.api import convert
from acesniper.api.objects import PodView, namespaced_key
from acesniper.api.v1alpha1 import InferenceTask, Phase
from acesniper.domain.cold_start import (
    IMAGE_BYTES,
    ColdStart,
    ColdStartEstimator,
    ObservedStart,
)
from acesniper.domain.device import Device
from acesniper.domain.task import ModelKey
from acesniper.extender.latency_table import LatencyTable
from acesniper.policies.estimates import StartRow

BYTES_PER_PARAMETER = 4.0
REFRESH_S = 10.0
"""Minimum time between two updates of the estimates by what was learned: each recomputes all."""


@dataclass(slots=True)
class NodeContents:
    """Images that a node lists, and the models and images that ran there since it booted."""

    boot: str = ""
    images: frozenset[str] = frozenset()
    ran: set[str] = field(default_factory=set)


@dataclass(slots=True)
class ColdStartCache:
    """Expected cold start of any model on any device, from what nodes hold and tasks took.

    `changed` is set when estimates may differ from before.
    """

    table: LatencyTable
    estimator: ColdStartEstimator = field(default_factory=ColdStartEstimator)
    changed: bool = False
    _nodes: dict[str, NodeContents] = field(default_factory=dict)
    _image_bytes: dict[str, float] = field(default_factory=dict)
    _image_of: dict[ModelKey, str] = field(default_factory=dict)
    _learned_from: dict[str, str | None] = field(default_factory=dict)
    """Finished tasks by UID, with the pod whose start was learned."""

    def set_node(self, name: str, node: Mapping[str, Any] | None) -> None:
        """Upsert a node, or delete it (None)."""
        if node is None:
            self._nodes.pop(name, None)
            return
        status = node.get("status", {})
        boot = str(status.get("nodeInfo", {}).get("bootID", ""))
        contents = self._nodes.get(name)
        if contents is None or contents.boot != boot:
            contents = self._nodes[name] = NodeContents(boot)
            self.changed = True
        listed = status.get("images") or ()
        images = frozenset(name for image in listed for name in image.get("names") or ())
        if images != contents.images:
            contents.images = images
            self.changed = True
            for image in listed:
                size = float(image.get("sizeBytes") or 0)
                self._image_bytes |= dict.fromkeys(image.get("names") or (), size)

    def upsert_pod(self, pod: PodView) -> None:
        """Record the model and image of a pod as present on the node it runs on."""
        if pod.model is None:
            return
        model = ModelKey(namespaced_key(pod.namespace, pod.model))
        if self._image_of.get(model) != pod.image:
            self._image_of[model] = pod.image
            self.changed = True
        if pod.node is not None and pod.phase in ("Running", "Succeeded"):
            ran = self._nodes.setdefault(pod.node, NodeContents()).ran
            if not {model, pod.image} <= ran:
                ran.update((model, pod.image))
                self.changed = True

    def learn(self, resource: InferenceTask) -> None:
        """Learn the start times of a task that succeeded where the planner placed it."""
        status, uid = resource.status, str(resource.metadata.get("uid"))
        decision, observed = status.decision, status.observed
        if status.phase is not Phase.SUCCEEDED or decision is None or observed is None:
            return
        if not decision.candidates or self._learned_from.get(uid, "") == status.pod_uid:
            return
        self._learned_from[uid] = status.pod_uid
        chosen = decision.candidates[0]
        if chosen.node != status.node:
            return  # another scheduler placed it
        start = self._cold_start(
            node=chosen.node,
            device=chosen.device,
            model=ModelKey(
                namespaced_key(resource.metadata["namespace"], str(status.model_profile))
            ),
            pulls=decision.pulls_image,
            fetches=decision.fetches_model,
        )
        times = ObservedStart(
            observed.container_seconds, observed.fetch_seconds, observed.load_seconds
        )
        self.estimator.learn(start, times, by_runner=convert.reported_by_runner(resource))
        self.changed = True

    def delete_task(self, uid: str) -> None:
        """Drop the record that a task was learned from; what was learned stays."""
        self._learned_from.pop(uid, None)

    def cold_start(self, model: ModelKey, device: Device) -> ColdStart:
        """Return what a start of a model on a device would involve now."""
        contents = self._nodes.get(device.node)
        image = self._image_of.get(model, "")
        present = (
            contents is None
            or not contents.images
            or image in contents.images
            or image in contents.ran
        )
        return self._cold_start(
            node=device.node,
            device=device.id,
            model=model,
            pulls=bool(image) and not present,
            fetches=contents is None or model not in contents.ran,
        )

    def start_row(self, model: ModelKey, devices: Sequence[Device]) -> StartRow:
        """Return the expected start times of a model on each device."""
        starts = [self.cold_start(model, device) for device in devices]
        return StartRow(
            np.fromiter(map(self.estimator.cold_s, starts), float, len(starts)),
            np.fromiter(map(self.estimator.transfer_s, starts), float, len(starts)),
        )

    def _cold_start(
        self, *, node: str, device: str, model: ModelKey, pulls: bool, fetches: bool
    ) -> ColdStart:
        features = self.table.features(model)
        return ColdStart(
            node=node,
            device=device,
            model=model,
            model_bytes=BYTES_PER_PARAMETER * features.parameters if features else 0.0,
            image_bytes=self._image_bytes.get(self._image_of.get(model, "")) or IMAGE_BYTES,
            pulls=pulls,
            fetches=fetches,
        )


class CachedStarts(Mapping[ModelKey, StartRow]):
    """Start times over a list of devices, computed on first access and kept for a while.

    A plan may read them in another thread.
    """

    def __init__(
        self, cold_starts: ColdStartCache, devices: Sequence[Device], now_s: float
    ) -> None:
        self._cold_starts, self._devices = cold_starts, devices
        self._rows: dict[ModelKey, StartRow] = {}
        self._since_s = now_s

    def refresh(self, now_s: float) -> None:
        """Drop the cached rows if they are old and something was learned since."""
        if self._cold_starts.changed and now_s - self._since_s >= REFRESH_S:
            self._rows, self._since_s = {}, now_s
            self._cold_starts.changed = False

    def __getitem__(self, model: ModelKey) -> StartRow:
        rows = self._rows
        row = rows.get(model)
        if row is None:
            row = rows[model] = self._cold_starts.start_row(model, self._devices)
        return row

    def __iter__(self) -> Iterator[ModelKey]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
