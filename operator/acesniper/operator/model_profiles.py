"""Reconciles ModelProfiles: fetches the file, reads its graph once and writes the features."""

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
    find_condition,
    with_condition,
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
"""Requeue interval while a pod reads the model."""
READERS = 1
"""Graphs read concurrently: each may use all memory that the container has left."""


class GraphReader(Protocol):
    """Reads a model's graph in a child process with resource limits."""

    def __call__(self, path: Path, spec: ModelProfileSpec) -> ModelFeatures:
        """The features of the file for the spec's shapes. Raises InvalidModel."""
        ...


@dataclass(slots=True)
class ModelReconciler:
    """Reads a model once, and again if its spec or the version of the features changes."""

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
    """Reads models that the operator itself cannot access."""
    _readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))

    async def reconcile(self, key: str) -> float | None:
        """Read a model unless that was done; returns the seconds until it is requeued.

        Raises:
            Unavailable: it cannot be fetched now. The condition is written; the caller retries.
        """
        profile = self.store.models.get(key)
        if profile is None:
            return None
        if self._is_current(profile):
            await self._write(profile, self._with_latency(profile.status))
            return None
        try:
            features = await self._read(profile)
            if features is None:
                await self._write(profile, self._being_read(profile))
                return POD_READS_S
        except InvalidModel as error:
            log.warning("%s: %s", key, error)
            await self._write(profile, self._unusable(profile, error))
            await self._record(profile, Notice(Reason(error.reason), str(error), warning=True))
            self.metrics.models.labels(error.reason).inc()
            return None
        except Unavailable as error:
            await self._write(profile, self._unfetched(profile, error))
            raise
        await self._write(profile, self._profiled(profile, features))
        await self._record(profile, Notice(Reason.PROFILED, to_model_status(features).text or ""))
        self.metrics.models.labels(Reason.PROFILED).inc()
        return None

    def _is_current(self, profile: ModelProfile) -> bool:
        """Whether this generation was read by this version, or rejected as unusable."""
        profiled = find_condition(profile.status.conditions, ConditionType.PROFILED)
        if profiled is None or profiled.observed_generation != profile.metadata.get("generation"):
            return False
        if profiled.status == "True":
            return profile.status.features_version == self.features_version
        return find_condition(profile.status.conditions, ConditionType.UNSUPPORTED) is not None

    async def _read(self, profile: ModelProfile) -> ModelFeatures | None:
        """The features; None while a pod reads the model."""
        if self.pods is not None and needs_pod(profile.spec.source):
            return await self.pods.read(profile)
        with tempfile.TemporaryDirectory(prefix="acesniper-model-") as folder:
            path = Path(folder) / "model.onnx"
            await self.fetcher.fetch(profile.spec.source, profile.metadata["namespace"], path)
            async with self._readers:
                return await asyncio.to_thread(self.read, path, profile.spec)

    def _profiled(self, profile: ModelProfile, features: ModelFeatures) -> ModelProfileStatus:
        status = to_model_status(features)
        conditions = self._condition(profile, True, Reason.PROFILED, status.text or "")
        conditions = [
            condition for condition in conditions if condition.type != ConditionType.UNSUPPORTED
        ]
        update = {
            "conditions": conditions,
            **_learned_fields(profile),
            **_generation_field(profile),
        }
        return self._with_latency(status.model_copy(update=update))

    def _with_latency(self, status: ModelProfileStatus) -> ModelProfileStatus:
        """The status with predicted latencies per device class, for display only."""
        features = model_features_of(status)
        if features is None:
            return status
        latency = class_latencies(self.predictor, features, self.store.devices.values())
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

    def _being_read(self, profile: ModelProfile) -> ModelProfileStatus:
        text = f"pod {reader_name(profile)} reads the model"
        conditions = self._condition(profile, False, Reason.READING, text)
        return profile.status.model_copy(
            update={"conditions": conditions, "text": "being read", **_generation_field(profile)}
        )

    def _unfetched(self, profile: ModelProfile, error: Unavailable) -> ModelProfileStatus:
        conditions = self._condition(profile, False, Reason.FETCH_FAILED, str(error))
        return profile.status.model_copy(
            update={
                "conditions": conditions,
                "text": "not fetched yet",
                **_generation_field(profile),
            }
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
            version.model_dump(by_alias=True, mode="json") for version in (profile.status, status)
        )
        patch = {"status": merge_patch(before, after)}
        try:
            written = await self.cluster.patch(
                MODEL_PROFILES, name, namespace, patch, subresource="status"
            )
        except NotFound:
            # The watch missed the deletion.
            self.store.delete_model({"metadata": profile.metadata})
            return
        self.store.expect_event("ModelProfile", profile.metadata, written["metadata"])
        self.store.upsert_model(written)

    async def _record(self, profile: ModelProfile, notice: Notice) -> None:
        await self.events.record("ModelProfile", profile.metadata, notice, self.clock())


def _learned_fields(profile: ModelProfile) -> dict[str, int | None]:
    """Fields learned from runs of the model; they are kept when its graph is read again."""
    return {"needs_memory_bytes": profile.status.needs_memory_bytes}


def _generation_field(profile: ModelProfile) -> dict[str, int | None]:
    return {"observed_generation": profile.metadata.get("generation")}


DIGITS = 4
"""Significant digits of a latency: smaller changes do not cause a write."""


def class_latencies(
    predictor: Predictor, model: ModelFeatures, devices: Iterable[DeviceProfile]
) -> list[DeviceClassLatency]:
    """Fastest, median and slowest predicted latency per provider and architecture."""
    by_class: dict[str, list[float]] = defaultdict(list)
    vectors = [(device, convert.to_hardware_vector(device.status)) for device in devices]
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
