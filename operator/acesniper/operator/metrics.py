"""The operator's metrics and the functions that count tasks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from prometheus_client import Counter, Gauge, Histogram, Summary

from acesniper.api.objects import namespaced_key
from acesniper.api.reasons import ConditionType, Reason
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import (
    FINISHED,
    InferenceTask,
    InferenceTaskStatus,
    Phase,
    TaskObservation,
    TaskPrediction,
    find_condition,
)
from acesniper.operator.cache import ObjectCache
from acesniper.runtime.listener import CLOSE_REASONS, CloseReason
from acesniper.runtime.metrics import (
    DEVICE,
    MODEL,
    PROVIDER,
    Declaration,
    Instruments,
    Label,
    counter,
    gauge,
    histogram,
    summary,
)

ERROR_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0)
WAIT_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
RECONCILE_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
REASON = Label.per_each("reason")
RECONCILED = Label.of("kind", "task", "model", "device", "node")
SKIPPED = Label.of("kind", "InferenceTask", "ModelProfile", "DeviceProfile", "Pod")
WATCHED = Label.of("kind", "InferenceTask", "ModelProfile", "DeviceProfile", "Node", "Pod")


@dataclass(frozen=True, slots=True)
class OperatorMetrics(Instruments):
    """Instruments on one registry."""

    phases: Counter = counter(
        "acesniper_task_phases", "Transitions of tasks into a phase.", Label.of("phase", *Phase)
    )
    prediction_error_ratio: Histogram = histogram(
        "acesniper_prediction_error_ratio",
        "|predicted - observed| / observed latency of finished tasks.",
        PROVIDER,
        buckets=ERROR_BUCKETS,
    )
    device_error_ratio: Summary = summary(
        "acesniper_device_prediction_error_ratio",
        "|predicted - observed| / observed latency of finished tasks, by device.",
        DEVICE,
    )
    model_error_ratio: Summary = summary(
        "acesniper_model_prediction_error_ratio",
        "|predicted - observed| / observed latency of finished tasks, by model (namespace/name).",
        MODEL,
    )
    predicted_seconds: Counter = counter(
        "acesniper_predicted_run_seconds",
        "Predicted time of all inferences of finished tasks.",
        PROVIDER,
    )
    observed_seconds: Counter = counter(
        "acesniper_observed_run_seconds",
        "Observed time of all inferences of finished tasks, at their median latency.",
        PROVIDER,
    )
    intervals: Counter = counter(
        "acesniper_prediction_intervals",
        "Finished tasks by whether their latency was below, inside or above the predicted 90 % "
        "interval.",
        PROVIDER,
        Label.of("outcome", "below", "inside", "above"),
    )
    wait_seconds: Histogram = histogram(
        "acesniper_task_wait_seconds",
        "From a task's creation to the start of the attempt that succeeded.",
        buckets=WAIT_BUCKETS,
    )
    response_seconds: Histogram = histogram(
        "acesniper_task_response_seconds",
        "From a task's creation to its success.",
        buckets=WAIT_BUCKETS,
    )
    run_seconds: Histogram = histogram(
        "acesniper_task_run_seconds",
        "From the start to the end of the attempt that succeeded.",
        buckets=WAIT_BUCKETS,
    )
    cold_start_seconds: Histogram = histogram(
        "acesniper_task_cold_start_seconds",
        "From binding to the first inference: container, fetch and load of the model.",
        buckets=WAIT_BUCKETS,
    )
    load_seconds: Histogram = histogram(
        "acesniper_task_load_seconds",
        "Time to load the model, as the runner measured it.",
        buckets=WAIT_BUCKETS,
    )
    attempts_failed: Counter = counter(
        "acesniper_task_attempts_failed", "Attempts that failed, by reason.", REASON
    )
    endings: Counter = counter(
        "acesniper_task_endings",
        "Tasks that ended, by reason: see docs/reference/endings.md.",
        REASON,
    )
    deadlines: Counter = counter(
        "acesniper_task_deadlines",
        "Tasks with a deadline that succeeded, by whether they met it.",
        Label.of("outcome", "met", "missed"),
    )
    reconcile_seconds: Histogram = histogram(
        "acesniper_reconcile_seconds",
        "Time to reconcile an object.",
        RECONCILED,
        buckets=RECONCILE_BUCKETS,
    )
    reconcile_errors: Counter = counter(
        "acesniper_reconcile_errors",
        "Reconciliations that failed; they are retried.",
        RECONCILED,
    )
    models: Counter = counter(
        "acesniper_models_profiled",
        "Models that were read, by outcome: Profiled, or the reason of the failure.",
        Label("outcome", per="reason"),
    )
    planner_down: Gauge = gauge(
        "acesniper_planner_down",
        "1 while the planner's lease is stale and tasks start in order of arrival.",
    )
    degraded_admissions: Counter = counter(
        "acesniper_degraded_admissions",
        "Pods ungated without a plan, while the planner's lease was stale.",
    )
    last_event_seconds: Gauge = gauge(
        "acesniper_watch_last_event_timestamp_seconds",
        "Time of the last watch event of a kind, in seconds since the epoch.",
        WATCHED,
    )
    skipped_objects: Gauge = gauge(
        "acesniper_operator_skipped_objects",
        "Objects that cannot be read or do not match their schema; the operator skips them.",
        SKIPPED,
    )
    runs_learned: Counter = counter(
        "acesniper_runs_learned",
        "Runs of finished tasks that calibrate the predictions for their device.",
    )
    runs_discounted: Counter = counter(
        "acesniper_runs_discounted",
        "Of these, outliers among the runs of their device: ignored until another run confirms "
        "them.",
    )
    drifts: Counter = counter(
        "acesniper_device_drifts",
        "Devices with latency drift; each is probed again.",
    )
    reprobes: Counter = counter(
        "acesniper_device_reprobes", "Devices that were probed again, for any reason."
    )
    profile_noise: Gauge = gauge(
        "acesniper_profile_noise_ratio",
        "Median spread of a device's readings: interquartile range over median.",
        DEVICE,
    )
    leading: Gauge = gauge(
        "acesniper_operator_leading",
        "1 for the operator that holds the lease, 0 for a standby.",
    )
    closed_connections: Counter = counter(
        "acesniper_operator_closed_connections",
        "HTTP connections closed because of a limit: the number of connections, the size of "
        "requests, or the time for a handshake, a request, a response or between requests.",
        Label.of("port", "health", "metrics"),
        Label.of("reason", *CLOSE_REASONS),
    )

    def connection_closed(self, port: str) -> Callable[[CloseReason], None]:
        """A function that counts a closed connection of a port."""
        return lambda reason: self.closed_connections.labels(port, reason).inc()


def declarations() -> Sequence[Declaration]:
    """All metrics of this part."""
    return OperatorMetrics.declarations()


UNKNOWN = "unknown"
"""An unknown reason; the provider if the device was deleted or none was predicted for."""
MAX_MODELS = 100
"""Models of a namespace with a label value of their own."""
OTHERS = "(other)"
"""Not a valid name of a model."""


def count_phase(
    metrics: OperatorMetrics, store: ObjectCache, before: InferenceTask, status: InferenceTaskStatus
) -> None:
    """Count the transition from the status of `before` to `status`."""
    if status.attempts > before.status.attempts:
        metrics.attempts_failed.labels(_reason(status)).inc()
    if status.phase is before.status.phase or status.phase is None:
        return
    metrics.phases.labels(status.phase.value).inc()
    if status.phase in FINISHED:
        metrics.endings.labels(_reason(status)).inc()
    if (met := find_condition(status.conditions, ConditionType.DEADLINE_MET)) is not None:
        metrics.deadlines.labels("met" if met.status == "True" else "missed").inc()
    if status.phase is not Phase.SUCCEEDED or status.observed is None:
        return
    _count_times(metrics, status.observed, epoch_s(before.metadata["creationTimestamp"]))
    # Containers of tasks report anything, and nothing learns from them.
    by_runner = status.observed.reported_by != "Container"
    if status.predicted is not None and status.error_ratio is not None and by_runner:
        device = store.devices.get(status.device or "")
        provider = device.spec.provider if device else UNKNOWN
        metrics.prediction_error_ratio.labels(provider).observe(status.error_ratio)
        if device is not None:
            metrics.device_error_ratio.labels(status.device).observe(status.error_ratio)
        model = namespaced_key(before.metadata["namespace"], str(status.model_profile))
        if model in store.models:
            label = _model_label(store, model, before.metadata["namespace"])
            metrics.model_error_ratio.labels(label).observe(status.error_ratio)
        _count_run(metrics, provider, before.spec.inferences, status)


def _model_label(store: ObjectCache, model: str, namespace: str) -> str:
    """The model, if it is one of the first of its namespace; else one label for all others.

    Users create models, and each label value is a series until the model is deleted.
    """
    same_namespace = (key for key in store.models if key.startswith(f"{namespace}/"))
    return model if model in islice(same_namespace, MAX_MODELS) else f"{namespace}/{OTHERS}"


def count_deleted(metrics: OperatorMetrics, task: InferenceTask) -> None:
    """Count a deleted task, unless it had finished before."""
    if task.status.phase not in FINISHED:
        metrics.endings.labels("Deleted").inc()


def _count_times(metrics: OperatorMetrics, observed: TaskObservation, created_s: float) -> None:
    if observed.wait_seconds is not None:
        metrics.wait_seconds.observe(observed.wait_seconds)
    if observed.load_seconds is not None:
        metrics.load_seconds.observe(observed.load_seconds)
        before_s = (observed.container_seconds or 0.0) + (observed.fetch_seconds or 0.0)
        metrics.cold_start_seconds.observe(before_s + observed.load_seconds)
    if observed.finish_time is not None:
        finished_s = epoch_s(observed.finish_time)
        metrics.response_seconds.observe(max(finished_s - created_s, 0.0))
        if observed.start_time is not None:
            metrics.run_seconds.observe(max(finished_s - epoch_s(observed.start_time), 0.0))


def _count_run(
    metrics: OperatorMetrics, provider: str, inferences: int, status: InferenceTaskStatus
) -> None:
    """Count the observed and the predicted time of a run."""
    if status.observed is None or status.predicted is None:
        return
    metrics.intervals.labels(provider, _interval_outcome(status.observed, status.predicted)).inc()
    if status.observed.latency_median_seconds is not None:
        took_s = inferences * status.observed.latency_median_seconds
        metrics.observed_seconds.labels(provider).inc(took_s)
        metrics.predicted_seconds.labels(provider).inc(
            inferences * status.predicted.latency_seconds
        )


def _interval_outcome(observed: TaskObservation, expected: TaskPrediction) -> str:
    """Whether the observed latency is below, inside or above the predicted interval."""
    latency_s = observed.latency_median_seconds or expected.latency_seconds
    if latency_s < expected.low_seconds:
        return "below"
    return "above" if latency_s > expected.high_seconds else "inside"


def _reason(status: InferenceTaskStatus) -> str:
    """The reason of the end or of the last failed attempt; one of a closed set."""
    reasons = {condition.type: condition.reason for condition in status.conditions}
    reason = reasons.get(ConditionType.FINISHED) or reasons.get(ConditionType.RETRYING)
    # A status can be written by others, and each new reason would be one more series.
    return reason if reason in set(Reason) else UNKNOWN
