"""What was expected of a task, and what came out."""

from collections.abc import Mapping
from typing import Any

from acesniper.api.convert import prediction_text
from acesniper.api.decision import Decision
from acesniper.api.messages import RunnerReport, terminated_state
from acesniper.api.units import duration_text, epoch_s, rfc3339
from acesniper.api.v1alpha1 import TaskObservation, TaskPrediction
from acesniper.domain.prediction import Prediction

LONGEST_MESSAGE = 500
"""Characters of a container's last words that are shown; enough for the error under a traceback."""

SKEW_S = 2.0
"""Times of different machines that are no more out of order than this are taken as they are."""


def predicted_outcome(decision: Decision, created_s: float) -> TaskPrediction:
    """What the chosen candidate of a decision promised."""
    chosen = decision.candidates[0]
    latency = Prediction(
        chosen.latency_seconds, chosen.low_seconds, chosen.high_seconds, chosen.source
    )
    return TaskPrediction(
        text=prediction_text(latency),
        latency_seconds=latency.latency_s,
        low_seconds=latency.low_s,
        high_seconds=latency.high_s,
        wait_seconds=max(decision.decided_at + chosen.backlog_seconds - created_s, 0.0),
        cold_start_seconds=chosen.cold_start_seconds,
        run_seconds=chosen.run_seconds,
        finish_time=rfc3339(decision.decided_at + chosen.finish_seconds),
    )


def observed_outcome(
    found: RunnerReport | None, pod: Mapping[str, Any], created_s: float, now_s: float
) -> tuple[TaskObservation, str]:
    """What a finished pod tells: its report, its times; and a sentence about it."""
    state = terminated_state(pod)
    skew_s = _skew_s(pod, now_s)
    started = _corrected(state.get("startedAt") or pod.get("status", {}).get("startTime"), skew_s)
    finished = _corrected(state.get("finishedAt"), skew_s) or rfc3339(now_s)
    wait_s = max(epoch_s(started) - created_s, 0.0) if started else None
    median_s = found.latency_median_s if found else None
    text = duration_text(median_s) if median_s else "not reported"
    observed = TaskObservation(
        text=text,
        latency_median_seconds=median_s,
        latency_p90_seconds=found.latency_p90_s if found else None,
        container_seconds=_container_s(pod, _corrected(state.get("startedAt"), skew_s)),
        fetch_seconds=found.fetch_s if found else None,
        load_seconds=found.load_s if found else None,
        wait_seconds=wait_s,
        start_time=started,
        finish_time=finished,
    )
    return observed, f"observed {text}"


def _bound_s(pod: Mapping[str, Any]) -> float | None:
    """When the pod was bound, by the API server's clock; whole seconds."""
    for each in pod.get("status", {}).get("conditions") or ():
        bound = each.get("lastTransitionTime")
        if each["type"] == "PodScheduled" and each["status"] == "True" and bound:
            return epoch_s(bound)
    return None


def _container_s(pod: Mapping[str, Any], started: str | None) -> float | None:
    """From binding to the start of the container; both are whole seconds."""
    bound_s = _bound_s(pod)
    if bound_s is None or started is None:
        return None
    return max(epoch_s(started) - bound_s, 0.0)


def _skew_s(pod: Mapping[str, Any], now_s: float) -> float:
    """By how much the clock of the pod's node is ahead (behind, below 0), where that shows.

    A pod that its node took before it was bound, or that ended in the future, shows it. The node
    takes a pod within a moment of its binding: that is the same instant on both clocks.
    """
    bound_s, taken = _bound_s(pod), pod.get("status", {}).get("startTime")
    if bound_s is None or not taken:
        return 0.0
    finished = terminated_state(pod).get("finishedAt")
    behind = epoch_s(taken) < bound_s - SKEW_S
    ahead = finished is not None and epoch_s(finished) > now_s + SKEW_S
    return epoch_s(taken) - bound_s if behind or ahead else 0.0


def _corrected(timestamp: str | None, skew_s: float) -> str | None:
    return rfc3339(epoch_s(timestamp) - skew_s) if timestamp and skew_s else timestamp


def failure_message(pod: Mapping[str, Any]) -> str:
    """Why a pod failed, from its container's last words or its own status."""
    state = terminated_state(pod)
    status = pod.get("status", {})
    code = state.get("exitCode")
    words = str(state.get("message") or status.get("message") or "").strip()[-LONGEST_MESSAGE:]
    reason = state.get("reason") or status.get("reason") or "Failed"
    shown = f"{reason}, exit code {code}" if code is not None else str(reason)
    return f"{shown}: {words}" if words else shown
