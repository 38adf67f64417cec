"""What is counted when a task enters a phase."""

from acesniper.api.conditions import find_condition
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import (
    FINISHED,
    InferenceTask,
    InferenceTaskStatus,
    Phase,
    TaskObservation,
    TaskPrediction,
)
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import OperatorMetrics

UNKNOWN = "unknown"
"""The provider of a device that is gone, or of a pod that was placed without one."""


def count_phase(
    metrics: OperatorMetrics, store: ObjectCache, before: InferenceTask, status: InferenceTaskStatus
) -> None:
    """Count a status that was written over that of `before`."""
    if status.attempts > before.status.attempts:
        metrics.attempts_failed.labels(_reason(status)).inc()
    if status.phase is before.status.phase or status.phase is None:
        return
    metrics.phases.labels(status.phase.value).inc()
    if status.phase in FINISHED:
        metrics.endings.labels(_reason(status)).inc()
    if (met := find_condition(status.conditions, "DeadlineMet")) is not None:
        metrics.deadlines.labels("met" if met.status == "True" else "missed").inc()
    if status.phase is not Phase.SUCCEEDED or status.observed is None:
        return
    _count_times(metrics, status.observed, epoch_s(before.metadata["creationTimestamp"]))
    if status.predicted is not None and status.error_ratio is not None:
        device = store.devices.get(status.device or "")
        provider = device.spec.provider if device else UNKNOWN
        metrics.prediction_error_ratio.labels(provider).observe(status.error_ratio)
        if device is not None:
            metrics.device_error_ratio.labels(status.device).observe(status.error_ratio)
        model = f"{before.metadata['namespace']}/{status.model_profile}"
        if model in store.models:
            metrics.model_error_ratio.labels(model).observe(status.error_ratio)
        _count_run(metrics, provider, before.spec.inferences, status)


def count_deleted(metrics: OperatorMetrics, task: InferenceTask) -> None:
    """Count a task that is gone: deleted before it ended, that was its end."""
    if task.status.phase not in FINISHED:
        metrics.endings.labels("Deleted").inc()


def _count_times(metrics: OperatorMetrics, seen: TaskObservation, created_s: float) -> None:
    if seen.wait_seconds is not None:
        metrics.wait_seconds.observe(seen.wait_seconds)
    if seen.load_seconds is not None:
        metrics.load_seconds.observe(seen.load_seconds)
        before_s = (seen.container_seconds or 0.0) + (seen.fetch_seconds or 0.0)
        metrics.cold_start_seconds.observe(before_s + seen.load_seconds)
    if seen.finish_time is not None:
        finished_s = epoch_s(seen.finish_time)
        metrics.response_seconds.observe(max(finished_s - created_s, 0.0))
        if seen.start_time is not None:
            metrics.run_seconds.observe(max(finished_s - epoch_s(seen.start_time), 0.0))


def _count_run(
    metrics: OperatorMetrics, provider: str, inferences: int, status: InferenceTaskStatus
) -> None:
    """What the inferences took beside what was expected."""
    if status.observed is None or status.predicted is None:
        return
    metrics.intervals.labels(provider, _place_of(status.observed, status.predicted)).inc()
    if status.observed.latency_median_seconds is not None:
        took_s = inferences * status.observed.latency_median_seconds
        metrics.observed_seconds.labels(provider).inc(took_s)
        metrics.predicted_seconds.labels(provider).inc(
            inferences * status.predicted.latency_seconds
        )


def _place_of(seen: TaskObservation, expected: TaskPrediction) -> str:
    """Where the observed latency lies in the interval."""
    latency_s = seen.latency_median_seconds or expected.latency_seconds
    if latency_s < expected.low_seconds:
        return "below"
    return "above" if latency_s > expected.high_seconds else "inside"


def _reason(status: InferenceTaskStatus) -> str:
    """The reason of the last failed attempt; few words exist for it."""
    named = {each.type: each.reason for each in status.conditions}
    return named.get("Finished") or named.get("Retrying") or UNKNOWN
