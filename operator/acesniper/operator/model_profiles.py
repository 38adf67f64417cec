"""Reconciles ModelProfiles: fetches the file once, reads its graph once, writes the features."""

import asyncio
import logging
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Protocol

from acesniper.api import convert
from acesniper.api.conditions import find_condition, with_condition
from acesniper.api.convert import to_model_features as model_features_of
from acesniper.api.convert import to_model_status
from acesniper.api.names import MODEL_PROFILES
from acesniper.api.objects import merge_patch
from acesniper.api.reasons import ConditionType, Notice, Reason
from acesniper.api.v1alpha1 import (
    Condition,
    DeviceClassLatency,
    DeviceProfile,
    ModelProfile,
    ModelProfileSpec,
    ModelProfileStatus,
)
from acesniper.domain.errors import InvalidModel, NotFound, Unavailable
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Predictor
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import OperatorMetrics
from acesniper.operator.model_readers import ModelFetcher, ModelReaderPods, needs_pod, reader_name
from acesniper.runtime.client import Cluster
from acesniper.runtime.events import EventRecorder

log = logging.getLogger(__name__)

POD_READS_S = 2.0
"""How often a pod that reads a model is looked at."""
READERS = 1
"""Graphs read at the same time: each may use all memory that the operator's container has left."""


class GraphReader(Protocol):
    """Reads the graph in a file for a batch and shapes, in a child process with limits."""

    def __call__(self, path: Path, spec: ModelProfileSpec) -> ModelFeatures:
        """Raise InvalidModel when the file cannot be used."""
        ...


@dataclass(slots=True)
class ModelReconciler:
    """One model at a time: what is read stays read, until the spec or the reader changes."""

    cluster: Cluster
    store: ObjectCache
    fetcher: ModelFetcher
    read: GraphReader
    features_version: str
    metrics: OperatorMetrics
    events: EventRecorder
    predictor: Predictor
    clock: Callable[[], float]
    pods: ModelReaderPods | None = None
    """Reads what the operator itself cannot get at."""
    _readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))

    async def reconcile(self, key: str) -> float | None:
        """Read a model that was not read yet.

        Raises:
            Unavailable: it cannot be fetched now; the condition says so, and it is tried again.
        """
        profile = self.store.models.get(key)
        if profile is None:
            return None
        if self._settled(profile):
            await self._write(profile, self._with_latency(profile.status))
            return None
        try:
            found = await self._read(profile)
            if found is None:
                await self._write(profile, self._at_it(profile))
                return POD_READS_S
        except InvalidModel as error:
            log.warning("%s: %s", key, error)
            await self._write(profile, self._unusable(profile, error))
            await self._tell(profile, Notice(Reason(error.reason), str(error), warning=True))
            self.metrics.models.labels(error.reason).inc()
            return None
        except Unavailable as error:
            await self._write(profile, self._unfetched(profile, error))
            raise
        await self._write(profile, self._profiled(profile, found))
        await self._tell(profile, Notice(Reason.PROFILED, to_model_status(found).text or ""))
        self.metrics.models.labels(Reason.PROFILED).inc()
        return None

    def _settled(self, profile: ModelProfile) -> bool:
        """Whether this generation was read by this reader, or found unusable by it."""
        found = find_condition(profile.status.conditions, ConditionType.PROFILED)
        if found is None or found.observed_generation != profile.metadata.get("generation"):
            return False
        if found.status == "True":
            return profile.status.features_version == self.features_version
        return find_condition(profile.status.conditions, ConditionType.UNSUPPORTED) is not None

    async def _read(self, profile: ModelProfile) -> ModelFeatures | None:
        """The features; None while a pod is at it."""
        if self.pods is not None and needs_pod(profile.spec.source):
            return await self.pods.read(profile)
        with tempfile.TemporaryDirectory(prefix="acesniper-model-") as folder:
            path = Path(folder) / "model.onnx"
            await self.fetcher.fetch(profile.spec.source, profile.metadata["namespace"], path)
            async with self._readers:
                return await asyncio.to_thread(self.read, path, profile.spec)

    def _profiled(self, profile: ModelProfile, found: ModelFeatures) -> ModelProfileStatus:
        status = to_model_status(found)
        conditions = self._condition(profile, True, Reason.PROFILED, status.text or "")
        conditions = [each for each in conditions if each.type != ConditionType.UNSUPPORTED]
        update = {"conditions": conditions, **_learned(profile), **_generation(profile)}
        return self._with_latency(status.model_copy(update=update))

    def _with_latency(self, status: ModelProfileStatus) -> ModelProfileStatus:
        """The status with the present fleet's predicted latencies, for people."""
        found = model_features_of(status)
        if found is None:
            return status
        latency = class_latencies(self.predictor, found, self.store.devices.values())
        return status.model_copy(update={"latency": latency})

    def _unusable(self, profile: ModelProfile, error: InvalidModel) -> ModelProfileStatus:
        conditions = with_condition(
            self._condition(profile, False, Reason(error.reason), str(error)),
            ConditionType.UNSUPPORTED,
            True,
            Reason(error.reason),
            str(error),
            self.clock(),
            profile.metadata.get("generation"),
        )
        return ModelProfileStatus(
            text=f"unusable: {error.reason}",
            conditions=conditions,
            observed_generation=profile.metadata.get("generation"),
        )

    def _at_it(self, profile: ModelProfile) -> ModelProfileStatus:
        text = f"pod {reader_name(profile)} reads the model"
        conditions = self._condition(profile, False, Reason.READING, text)
        return profile.status.model_copy(
            update={"conditions": conditions, "text": "being read", **_generation(profile)}
        )

    def _unfetched(self, profile: ModelProfile, error: Unavailable) -> ModelProfileStatus:
        conditions = self._condition(profile, False, Reason.FETCH_FAILED, str(error))
        return profile.status.model_copy(
            update={"conditions": conditions, "text": "not fetched yet", **_generation(profile)}
        )

    def _condition(
        self, profile: ModelProfile, holds: bool, reason: Reason, message: str
    ) -> list[Condition]:
        generation = profile.metadata.get("generation")
        return with_condition(
            profile.status.conditions,
            ConditionType.PROFILED,
            holds,
            reason,
            message,
            self.clock(),
            generation,
        )

    async def _write(self, profile: ModelProfile, status: ModelProfileStatus) -> None:
        if status == profile.status:
            return
        name, namespace = profile.metadata["name"], profile.metadata["namespace"]
        before, after = (
            each.model_dump(by_alias=True, mode="json") for each in (profile.status, status)
        )
        patch = {"status": merge_patch(before, after)}
        try:
            written = await self.cluster.patch(
                MODEL_PROFILES, name, namespace, patch, subresource="status"
            )
        except NotFound:
            # Deleted while no watch was looking.
            self.store.delete_model({"metadata": profile.metadata})
            return
        self.store.expect_event("ModelProfile", profile.metadata, written["metadata"])
        self.store.upsert_model(written)

    async def _tell(self, profile: ModelProfile, notice: Notice) -> None:
        await self.events.record("ModelProfile", profile.metadata, notice, self.clock())


def _learned(profile: ModelProfile) -> dict[str, int | None]:
    """What runs of the model have shown stays true, however often its graph is read."""
    return {"needs_memory_bytes": profile.status.needs_memory_bytes}


def _generation(profile: ModelProfile) -> dict[str, int | None]:
    return {"observed_generation": profile.metadata.get("generation")}


DIGITS = 4
"""Significant digits kept: a profile is not written again for less."""


def class_latencies(
    predictor: Predictor, model: ModelFeatures, devices: Iterable[DeviceProfile]
) -> list[DeviceClassLatency]:
    """Fastest, median and slowest predicted latency per provider and architecture."""
    by_class: dict[str, list[float]] = defaultdict(list)
    vectors = [(each, convert.to_hardware_vector(each.status)) for each in devices]
    measured = [(device, vector) for device, vector in vectors if vector is not None]
    row = predictor.predict_all([model], [vector for _, vector in measured])[0]
    for (device, _), prediction in zip(measured, row, strict=True):
        if prediction is not None:
            name = f"{device.spec.provider}/{device.status.architecture or 'unknown'}"
            by_class[name].append(float(f"{prediction.latency_s:.{DIGITS}g}"))
    return [
        DeviceClassLatency(
            device_class=name,
            devices=len(latencies),
            fastest_seconds=min(latencies),
            median_seconds=median(latencies),
            slowest_seconds=max(latencies),
        )
        for name, latencies in sorted(by_class.items())
    ]
