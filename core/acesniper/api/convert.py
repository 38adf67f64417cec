"""Between resources on the wire and the domain."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from acesniper.api.names import API_VERSION
from acesniper.api.units import duration_text, epoch_s
from acesniper.api.v1alpha1 import (
    ApiType,
    DeadlinePolicy,
    DeviceProfile,
    DeviceProfileStatus,
    DeviceReading,
    InferenceTask,
    ModelProfile,
    ModelProfileStatus,
)
from acesniper.api.v1alpha1.schema import duration_s
from acesniper.domain.device import (
    Device,
    DeviceId,
    HardwareVector,
    NodeName,
    ProbeResult,
    Reading,
)
from acesniper.domain.errors import InvalidInput
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Prediction
from acesniper.domain.task import ModelKey, Task, TaskKey

Json = dict[str, object]
ResourceType = TypeVar("Resource", bound=ApiType)


def parse_resource(kind: type[ResourceType], manifest: Mapping[str, Any]) -> ResourceType:
    """A resource as the API server gave it.

    Raises:
        InvalidInput: it is not what its schema says: stored under another version of it.
    """
    try:
        return kind.model_validate(manifest)
    except ValidationError as error:
        metadata = manifest.get("metadata", {})
        name = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
        raise InvalidInput(f"{kind.__name__} {name} cannot be read: {error}") from error


def to_task(resource: InferenceTask, model: str, memory_bytes: int = 0, priority: int = 0) -> Task:
    """The task of an InferenceTask whose model is profiled as `model` in its namespace."""
    spec, metadata = resource.spec, resource.metadata
    created_s = epoch_s(metadata["creationTimestamp"])
    deadline_s = created_s + duration_s(spec.deadline) if spec.deadline else None
    return Task(
        key=TaskKey(f"{metadata['namespace']}/{metadata['name']}"),
        model=ModelKey(f"{metadata['namespace']}/{model}"),
        created_s=created_s,
        inferences=spec.inferences,
        providers=frozenset(spec.runtime),
        deadline_s=deadline_s,
        reject_late=spec.deadline_policy is DeadlinePolicy.REJECT,
        priority=priority,
        priority_class=spec.priority_class_name or "",
        memory_bytes=memory_bytes,
        node_selector=tuple(sorted(spec.node_selector.items())),
    )


def to_device(profile: DeviceProfile, *, schedulable: bool) -> Device:
    """The device a DeviceProfile describes."""
    return Device(
        id=DeviceId(profile.metadata["name"]),
        node=NodeName(profile.spec.node),
        provider=profile.spec.provider,
        slots=profile.spec.slots,
        memory_bytes=profile.status.memory_bytes or 0,
        schedulable=schedulable,
    )


def to_hardware_vector(status: DeviceProfileStatus) -> HardwareVector | None:
    """The HRM vector of a DeviceProfile, None while it was not measured."""
    if not status.readings or status.suite is None or status.suite_version is None:
        return None
    readings = {
        name: Reading(each.seconds, each.spread, each.sustained_seconds, each.loaded_seconds)
        for name, each in status.readings.items()
    }
    return HardwareVector(status.suite, status.suite_version, readings)


def to_model_features(status: ModelProfileStatus) -> ModelFeatures | None:
    """The features of a ModelProfile, None while it was not read."""
    if status.features_version is None:
        return None
    return ModelFeatures(
        version=status.features_version,
        values=status.features,
        flops=status.flops or 0.0,
        bytes_moved=status.bytes_moved or 0.0,
        parameters=status.parameters or 0,
        peak_memory_bytes=max(status.peak_memory_bytes or 0, status.needs_memory_bytes or 0),
        operators=status.operators,
        similar=status.similar,
        labels=status.labels,
    )


def to_model_status(found: ModelFeatures) -> ModelProfileStatus:
    """The status of a ModelProfile whose graph was read."""
    size = f"{found.flops / 1e9:.3g} GFLOP, {found.parameters / 1e6:.3g} M parameters"
    return ModelProfileStatus(
        text=size,
        features_version=found.version,
        features=dict(found.values),
        flops=found.flops,
        bytes_moved=found.bytes_moved,
        parameters=found.parameters,
        peak_memory_bytes=found.peak_memory_bytes,
        operators=dict(found.operators),
        similar=dict(found.similar),
        labels=dict(found.labels),
    )


def model_features(resource: ModelProfile) -> ModelFeatures | None:
    """The features of a ModelProfile object."""
    return to_model_features(resource.status)


def to_device_profile_manifest(name: str, node: str, result: ProbeResult) -> Json:
    """A DeviceProfile with its status, as `acesniper probe` prints it."""
    limit = "" if result.cpu_quota is None else f", {result.cpu_quota:g} cores allowed"
    text = f"{result.cpu_model}, {result.threads} threads, {result.runtime}{limit}"
    status = DeviceProfileStatus(
        text=text,
        suite=result.vector.suite,
        suite_version=result.vector.version,
        readings={
            probe: DeviceReading(
                seconds=each.seconds,
                spread=each.spread,
                sustained_seconds=each.sustained_s,
                loaded_seconds=each.loaded_s,
            )
            for probe, each in result.vector.readings.items()
        },
        missing=list(result.missing),
        runtime=result.runtime,
        runtime_version=result.runtime_version,
        architecture=result.architecture,
        cpu_model=result.cpu_model,
        cores=result.cores,
        threads=result.threads,
        cpu_quota=result.cpu_quota,
        memory_bytes=result.memory_bytes,
        measured_at=result.measured_at,
        duration_seconds=result.duration_s,
    )
    return {
        "apiVersion": API_VERSION,
        "kind": "DeviceProfile",
        "metadata": {"name": name},
        "spec": {"node": node, "provider": result.provider, "threads": result.threads},
        "status": status.model_dump(
            by_alias=True, exclude_none=True, exclude={"conditions"}, mode="json"
        ),
    }


def to_probe_result(manifest: Json) -> ProbeResult:
    """The inverse of `device_profile_manifest`.

    Raises:
        ValueError: the manifest holds no measurement.
    """
    profile = DeviceProfile.model_validate(manifest)
    status, vector = profile.status, to_hardware_vector(profile.status)
    if vector is None:
        name = profile.metadata.get("name", "?")
        raise ValueError(f"DeviceProfile {name} was not measured: status.readings is empty")
    return ProbeResult(
        vector=vector,
        provider=profile.spec.provider,
        runtime=status.runtime or "",
        runtime_version=status.runtime_version or "",
        architecture=status.architecture or "",
        cpu_model=status.cpu_model or "",
        cores=status.cores or 0,
        threads=status.threads or 0,
        cpu_quota=status.cpu_quota,
        memory_bytes=status.memory_bytes or 0,
        measured_at=status.measured_at or "",
        duration_s=status.duration_seconds or 0.0,
        missing=tuple(status.missing),
    )


def prediction_text(prediction: Prediction) -> str:
    """A latency with its interval, for people."""
    middle, low, high = map(
        duration_text, (prediction.latency_s, prediction.low_s, prediction.high_s)
    )
    return f"{middle} ({low} to {high})"
