"""Conversion between API types and the domain."""

from collections.abc import Mapping, Sequence
from math import exp
from statistics import median
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from acesniper.api.objects import Json, namespaced_key
from acesniper.api.pod_rules import task_rules
from acesniper.api.reasons import ConditionType
from acesniper.api.units import duration_s, duration_text, epoch_s, rfc3339
from acesniper.api.v1alpha1 import (
    API_VERSION,
    ApiType,
    DeadlinePolicy,
    DeviceNamespace,
    DeviceObservation,
    DeviceProfile,
    DeviceProfileStatus,
    DeviceReading,
    InferenceTask,
    ModelProfile,
    ModelProfileStatus,
    Phase,
    TaskObservation,
    TaskPrediction,
    condition_is_true,
)
from acesniper.domain.device import (
    Device,
    DeviceId,
    HardwareVector,
    NodeName,
    ProbeResult,
    Reading,
)
from acesniper.domain.errors import InvalidInput
from acesniper.domain.evidence import NamespaceState, runs_by_namespace
from acesniper.domain.latency_history import Drift, ObservedRun
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import MAX_LATENCY_S, MIN_LATENCY_S, Prediction
from acesniper.domain.task import ModelKey, Task, TaskKey

ResourceType = TypeVar("ResourceType", bound=ApiType)


def parse_resource(kind: type[ResourceType], manifest: Mapping[str, Any]) -> ResourceType:
    """Parse a resource from the API server.

    Raises:
        InvalidInput: it does not match its schema, as after a change of the schema.
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
        key=TaskKey(namespaced_key(metadata["namespace"], metadata["name"])),
        model=ModelKey(namespaced_key(metadata["namespace"], model)),
        created_s=created_s,
        inferences=spec.inferences,
        providers=frozenset(spec.runtime),
        deadline_s=deadline_s,
        reject_late=spec.deadline_policy is DeadlinePolicy.REJECT,
        priority=priority,
        priority_class=spec.priority_class_name or "",
        memory_bytes=memory_bytes,
        pod_rules=task_rules(resource),
        avoided=frozenset(DeviceId(device) for device in resource.status.failed_devices),
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
    """The HRM vector of a DeviceProfile; None before it is measured."""
    if not status.readings or status.suite is None or status.suite_version is None:
        return None
    readings = {
        name: Reading(
            reading.seconds, reading.spread, reading.sustained_seconds, reading.loaded_seconds
        )
        for name, reading in status.readings.items()
    }
    return HardwareVector(status.suite, status.suite_version, readings)


def to_model_features(status: ModelProfileStatus) -> ModelFeatures | None:
    """The features of a ModelProfile; None before the model is read."""
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


def to_model_status(features: ModelFeatures) -> ModelProfileStatus:
    """The status of a ModelProfile from the features of its graph."""
    size = f"{features.flops / 1e9:.3g} GFLOP, {features.parameters / 1e6:.3g} M parameters"
    return ModelProfileStatus(
        text=size,
        features_version=features.version,
        features=dict(features.values),
        flops=features.flops,
        bytes_moved=features.bytes_moved,
        parameters=features.parameters,
        peak_memory_bytes=features.peak_memory_bytes,
        operators=dict(features.operators),
        similar=dict(features.similar),
        labels=dict(features.labels),
    )


def model_features(resource: ModelProfile) -> ModelFeatures | None:
    """The features of a ModelProfile object."""
    return to_model_features(resource.status)


def to_device_profile_manifest(name: str, node: str, result: ProbeResult) -> Json:
    """A DeviceProfile with its status, as printed by `acesniper probe`."""
    limit = "" if result.cpu_quota is None else f", {result.cpu_quota:g} cores allowed"
    text = f"{result.cpu_model}, {result.threads} threads, {result.runtime}{limit}"
    status = DeviceProfileStatus(
        text=text,
        suite=result.vector.suite,
        suite_version=result.vector.version,
        readings={
            probe: DeviceReading(
                seconds=reading.seconds,
                spread=reading.spread,
                sustained_seconds=reading.sustained_s,
                loaded_seconds=reading.loaded_s,
            )
            for probe, reading in result.vector.readings.items()
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
    """A latency with its interval, as text."""
    middle, low, high = map(
        duration_text, (prediction.latency_s, prediction.low_s, prediction.high_s)
    )
    return f"{middle} ({low} to {high})"


def observed_runs(status: DeviceProfileStatus) -> tuple[ObservedRun, ...]:
    """The latency history in the status of a DeviceProfile, oldest first."""
    return tuple(
        ObservedRun(
            task=observation.task,
            model=ModelKey(observation.model),
            latency_s=observation.median_seconds,
            p90_s=observation.p90_seconds,
            expected_s=observation.expected_seconds,
            at_s=epoch_s(observation.finished_at),
            shared=observation.reported_by == "Runner",
        )
        for observation in status.observations
    )


def to_observations(observed: Sequence[ObservedRun]) -> list[DeviceObservation]:
    """The inverse of `runs`."""
    return [
        DeviceObservation(
            task=run.task,
            model=run.model,
            median_seconds=run.latency_s,
            p90_seconds=run.p90_s,
            expected_seconds=run.expected_s,
            finished_at=rfc3339(run.at_s),
            reported_by="Runner" if run.shared else "Container",
        )
        for run in observed
    ]


def namespace_states(status: DeviceProfileStatus) -> dict[str, NamespaceState]:
    """The states of the namespaces in the status of a DeviceProfile, by name."""
    return {
        entry.namespace: NamespaceState(
            entry.interval_factor,
            Drift(epoch_s(entry.drifted_at), slower=entry.drift == "Slower")
            if entry.drift is not None and entry.drifted_at is not None
            else None,
        )
        for entry in status.namespaces
    }


def to_namespaces(
    states: Mapping[str, NamespaceState], observed: Sequence[ObservedRun]
) -> list[DeviceNamespace]:
    """The inverse of `namespace_states`, with the runs of these namespaces summarized."""
    runs = runs_by_namespace(observed)
    return [
        DeviceNamespace(
            namespace=namespace,
            calibration=calibration_text(runs.get(namespace, ())),
            interval_factor=state.interval_factor,
            drift=_direction(state.drift),
            drifted_at=None if state.drift is None else rfc3339(state.drift.since_s),
        )
        for namespace, state in states.items()
    ]


def _direction(drift: Drift | None) -> Literal["Slower", "Faster"] | None:
    if drift is None:
        return None
    return "Slower" if drift.slower else "Faster"


def finished_run(resource: InferenceTask) -> tuple[DeviceId, ObservedRun] | None:
    """The device and run of a succeeded task; None if there is nothing to learn from it.

    The run of a container other than our runner is not `shared`.
    """
    status = resource.status
    seen, expected = status.observed, status.predicted
    if status.phase is not Phase.SUCCEEDED or seen is None or expected is None:
        return None
    if condition_is_true(status.conditions, ConditionType.MODEL_CHANGED):
        return None  # the latency is that of a model that was replaced since
    if not (status.device and seen.latency_median_seconds and seen.finish_time):
        return None
    if not all(
        MIN_LATENCY_S <= latency_s <= MAX_LATENCY_S for latency_s in _run_latencies(seen, expected)
    ):
        return None  # statuses and annotations are untrusted
    run = ObservedRun(
        task=status.pod_uid or resource.metadata["uid"],
        model=ModelKey(namespaced_key(resource.metadata["namespace"], str(status.model_profile))),
        latency_s=seen.latency_median_seconds,
        p90_s=seen.latency_p90_seconds or seen.latency_median_seconds,
        expected_s=expected.latency_seconds,
        at_s=epoch_s(seen.finish_time),
        shared=reported_by_runner(resource),
        missed=not expected.low_seconds <= seen.latency_median_seconds <= expected.high_seconds,
    )
    return DeviceId(status.device), run


def reported_by_runner(resource: InferenceTask) -> bool:
    """Whether our runner measured the times of a finished task.

    For tasks that an earlier version finished, only the template is known.
    """
    seen = resource.status.observed
    if seen is None or seen.reported_by is None:
        return not resource.spec.template
    return seen.reported_by == "Runner"


def _run_latencies(seen: TaskObservation, expected: TaskPrediction) -> tuple[float, float, float]:
    """Observed median and 90th percentile, and predicted median."""
    median_s = seen.latency_median_seconds or 0.0
    return median_s, seen.latency_p90_seconds or median_s, expected.latency_seconds


def calibration_text(observed: Sequence[ObservedRun]) -> str | None:
    """Comparison of observed with predicted latencies, as text."""
    if not observed:
        return None
    shift = exp(median(run.log_error for run in observed))
    off = median(abs(exp(-run.log_error) - 1.0) for run in observed)
    tasks = "1 task" if len(observed) == 1 else f"{len(observed)} tasks"
    return f"{shift:.2f} x predicted, median error {100 * off:.0f} %, over {tasks}"
