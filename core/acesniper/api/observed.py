"""Observed runs: out of finished tasks, into and out of a DeviceProfile's status."""

from collections.abc import Sequence
from math import exp
from statistics import median

from acesniper.api.conditions import condition_is_true
from acesniper.api.units import epoch_s, rfc3339
from acesniper.api.v1alpha1 import (
    DeviceObservation,
    DeviceProfileStatus,
    InferenceTask,
    Phase,
    TaskObservation,
    TaskPrediction,
)
from acesniper.domain.device import DeviceId
from acesniper.domain.latency_history import ObservedRun
from acesniper.domain.prediction import MAX_LATENCY_S, MIN_LATENCY_S
from acesniper.domain.task import ModelKey


def observed_runs(status: DeviceProfileStatus) -> tuple[ObservedRun, ...]:
    """The runs that a DeviceProfile remembers, oldest first."""
    return tuple(
        ObservedRun(
            task=each.task,
            model=ModelKey(each.model),
            latency_s=each.median_seconds,
            p90_s=each.p90_seconds,
            expected_s=each.expected_seconds,
            at_s=epoch_s(each.finished_at),
        )
        for each in status.observations
    )


def to_observations(found: Sequence[ObservedRun]) -> list[DeviceObservation]:
    """The inverse of `runs`."""
    return [
        DeviceObservation(
            task=run.task,
            model=run.model,
            median_seconds=run.latency_s,
            p90_seconds=run.p90_s,
            expected_seconds=run.expected_s,
            finished_at=rfc3339(run.at_s),
        )
        for run in found
    ]


def finished_run(resource: InferenceTask) -> tuple[DeviceId, ObservedRun] | None:
    """What a task that succeeded tells of its device; None where there is nothing to learn."""
    status = resource.status
    seen, expected = status.observed, status.predicted
    if status.phase is not Phase.SUCCEEDED or seen is None or expected is None:
        return None
    if condition_is_true(status.conditions, "ModelChanged"):
        return None  # what it took says nothing of the model that now has this name
    if not (status.device and seen.latency_median_seconds and seen.finish_time):
        return None
    if not all(MIN_LATENCY_S <= each <= MAX_LATENCY_S for each in _run_latencies(seen, expected)):
        return None  # anybody can annotate a pod, and some can write a status
    run = ObservedRun(
        task=status.pod_uid or resource.metadata["uid"],
        model=ModelKey(f"{resource.metadata['namespace']}/{status.model_profile}"),
        latency_s=seen.latency_median_seconds,
        p90_s=seen.latency_p90_seconds or seen.latency_median_seconds,
        expected_s=expected.latency_seconds,
        at_s=epoch_s(seen.finish_time),
        missed=not expected.low_seconds <= seen.latency_median_seconds <= expected.high_seconds,
    )
    return DeviceId(status.device), run


def _run_latencies(seen: TaskObservation, expected: TaskPrediction) -> tuple[float, float, float]:
    """Median and 90th percentile as seen, and the median as expected."""
    median_s = seen.latency_median_seconds or 0.0
    return median_s, seen.latency_p90_seconds or median_s, expected.latency_seconds


def calibration_text(found: Sequence[ObservedRun]) -> str | None:
    """How observed compares with predicted, for people."""
    if not found:
        return None
    shift = exp(median(run.surprise for run in found))
    off = median(abs(exp(-run.surprise) - 1.0) for run in found)
    tasks = "1 task" if len(found) == 1 else f"{len(found)} tasks"
    return f"{shift:.2f} x predicted, median error {100 * off:.0f} %, over {tasks}"
