"""Reconciles ModelProfiles: reads each model's graph once and writes the features."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from acesniper.api.names import MODEL_PROFILES
from acesniper.api.objects import merge_patch
from acesniper.api.reasons import Notice, Reason
from acesniper.api.v1alpha1 import ModelProfile, ModelProfileStatus, ReaderPod
from acesniper.domain.errors import InvalidModel, NotFound, Unavailable
from acesniper.domain.prediction import Predictor
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import OperatorMetrics
from acesniper.operator.model_reading import ModelReading
from acesniper.operator.model_status import ModelStatuses, is_current, with_latency
from acesniper.runtime.client import Cluster
from acesniper.runtime.events import EventRecorder

log = logging.getLogger(__name__)

POD_READS_S = 2.0
"""Requeue interval while a pod reads the model."""


@dataclass(slots=True)
class ModelReconciler:
    """Reads a model once, and again if its spec or the version of the features changes."""

    cluster: Cluster
    store: ObjectCache
    reading: ModelReading
    features_version: str
    metrics: OperatorMetrics
    events: EventRecorder
    predictor: Predictor
    clock: Callable[[], float]

    async def reconcile(self, key: str) -> float | None:
        """Read a model unless that was done; returns the seconds until it is requeued.

        Raises:
            Unavailable: it cannot be fetched now. The condition is written; the caller retries.
        """
        profile = self.store.models.get(key)
        if profile is None:
            return None
        if is_current(profile, self.features_version):
            await self._write(profile, self._with_latency(profile.status))
            return None
        try:
            result = await self.reading.read(profile)
        except InvalidModel as error:
            log.warning("%s: %s", key, error)
            await self._write(profile, self._next(profile).unusable(error))
            await self._record(profile, Notice(Reason(error.reason), str(error), warning=True))
            self.metrics.models.labels(error.reason).inc()
            return None
        except Unavailable as error:
            await self._write(profile, self._next(profile).not_fetched(error))
            raise
        if isinstance(result, ReaderPod):
            await self._write(profile, self._next(profile).being_read(result))
            return POD_READS_S
        status = self._with_latency(self._next(profile).profiled(result))
        await self._write(profile, status)
        await self._record(profile, Notice(Reason.PROFILED, status.text or ""))
        self.metrics.models.labels(Reason.PROFILED).inc()
        return None

    def _next(self, profile: ModelProfile) -> ModelStatuses:
        return ModelStatuses(profile, self.clock())

    def _with_latency(self, status: ModelProfileStatus) -> ModelProfileStatus:
        return with_latency(status, self.predictor, self.store.devices.values())

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
