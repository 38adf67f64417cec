"""Statuses of a ModelProfile: being read, profiled, unusable, or not fetched yet."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from acesniper.api import convert
from acesniper.api.reasons import ConditionType, Reason
from acesniper.api.v1alpha1 import (
    Condition,
    DeviceClassLatency,
    DeviceProfile,
    ModelProfile,
    ModelProfileStatus,
    ReaderPod,
    find_condition,
    with_condition,
)
from acesniper.domain.errors import InvalidModel, Throttled, Unavailable
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Predictor


def is_current(profile: ModelProfile, features_version: str) -> bool:
    """Whether this generation was read by this version, or rejected as unusable."""
    profiled = find_condition(profile.status.conditions, ConditionType.PROFILED)
    if profiled is None or profiled.observed_generation != profile.metadata.get("generation"):
        return False
    if profiled.status == "True":
        return profile.status.features_version == features_version
    return find_condition(profile.status.conditions, ConditionType.UNSUPPORTED) is not None


@dataclass(frozen=True, slots=True)
class ModelStatuses:
    """The next status of a profile at a time; `now_s` is in seconds since the epoch."""

    profile: ModelProfile
    now_s: float

    def profiled(self, features: ModelFeatures) -> ModelProfileStatus:
        """The features are known. What runs of the model have shown is kept."""
        status = convert.to_model_status(features)
        conditions = [
            condition
            for condition in self._conditions(True, Reason.PROFILED, status.text or "")
            if condition.type != ConditionType.UNSUPPORTED
        ]
        return status.model_copy(
            update={
                "conditions": conditions,
                "needs_memory_bytes": self.profile.status.needs_memory_bytes,
                "observed_generation": self._generation,
            }
        )

    def unusable(self, error: InvalidModel) -> ModelProfileStatus:
        """The model cannot be used, and is not read again."""
        reason = Reason(error.reason)
        conditions = with_condition(
            self._conditions(False, reason, str(error)),
            ConditionType.UNSUPPORTED,
            True,
            reason,
            str(error),
            self.now_s,
            self._generation,
        )
        return ModelProfileStatus(
            text=f"unusable: {error.reason}",
            conditions=conditions,
            observed_generation=self._generation,
        )

    def being_read(self, pod: ReaderPod) -> ModelProfileStatus:
        """A pod reads the model."""
        conditions = self._conditions(False, Reason.READING, f"pod {pod.name} reads the model")
        return self._with(conditions, "being read", pod)

    def not_fetched(self, error: Unavailable) -> ModelProfileStatus:
        """The file cannot be fetched now; an earlier cause remains while its server is avoided."""
        before = find_condition(self.profile.status.conditions, ConditionType.PROFILED)
        if isinstance(error, Throttled) and before and before.reason == Reason.FETCH_FAILED:
            return self.profile.status
        conditions = self._conditions(False, Reason.FETCH_FAILED, str(error))
        return self._with(conditions, "not fetched yet", None)

    def _with(
        self, conditions: list[Condition], text: str, pod: ReaderPod | None
    ) -> ModelProfileStatus:
        update = {"conditions": conditions, "text": text, "reader_pod": pod}
        return self.profile.status.model_copy(
            update={**update, "observed_generation": self._generation}
        )

    def _conditions(self, holds: bool, reason: Reason, message: str) -> list[Condition]:
        return with_condition(
            self.profile.status.conditions,
            ConditionType.PROFILED,
            holds,
            reason,
            message,
            self.now_s,
            self._generation,
        )

    @property
    def _generation(self) -> int | None:
        generation: int | None = self.profile.metadata.get("generation")
        return generation


def with_latency(
    status: ModelProfileStatus, predictor: Predictor, devices: Iterable[DeviceProfile]
) -> ModelProfileStatus:
    """The status with predicted latencies per device class, for display only."""
    features = convert.to_model_features(status)
    if features is None:
        return status
    return status.model_copy(update={"latency": class_latencies(predictor, features, devices)})


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
