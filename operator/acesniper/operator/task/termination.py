"""How attempts and tasks end: another attempt, or the last word. `docs/reference/endings.md`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from acesniper.api.conditions import find_condition, with_condition
from acesniper.api.convert import prediction_text
from acesniper.api.decision import Decision
from acesniper.api.messages import RunnerReport, terminated_state
from acesniper.api.reasons import ConditionType, Notice, Reason
from acesniper.api.units import duration_text, epoch_s, rfc3339
from acesniper.api.v1alpha1 import (
    DeadlinePolicy,
    InferenceTaskStatus,
    Phase,
    TaskObservation,
    TaskPrediction,
    TaskProgress,
)
from acesniper.api.v1alpha1.schema import duration_s
from acesniper.domain.backoff import Backoff
from acesniper.domain.prediction import Prediction
from acesniper.operator.task.pod_health import Failure, Fault
from acesniper.operator.task.snapshot import Action, TaskSnapshot

RETRY = Backoff(first_s=5.0, max_s=300.0)
MAX_DISRUPTIONS = 10
"""Attempts of a task that the cluster may end before we give up: by then, it is no coincidence."""


def updated_status(sight: TaskSnapshot, **update: Any) -> InferenceTaskStatus:  # noqa: ANN401 - any field
    """The task's status with some fields changed, about its present spec."""
    generation = sight.task.metadata.get("generation")
    return sight.task.status.model_copy(update={"observed_generation": generation, **update})


def finish(
    sight: TaskSnapshot, status: InferenceTaskStatus, phase: Phase, reason: Reason, text: str
) -> Action:
    """The last step of a task but for what is cleaned up."""
    conditions = with_condition(
        status.conditions, ConditionType.FINISHED, True, reason, text, sight.now_s
    )
    failed = phase is Phase.FAILED
    update: dict[str, Any] = {"phase": phase, "message": text, "conditions": conditions}
    update["observed_generation"] = sight.task.metadata.get("generation")
    ended = Notice(reason, text, warning=failed)
    return Action(status.model_copy(update=update), notices=(ended,), look_again_s=_ttl_s(sight))


def retry(sight: TaskSnapshot, failure: Failure) -> Action:
    """Count a failed attempt; try again unless that is useless or has been done often enough."""
    before = sight.task.status
    attempts = before.attempts + 1
    disruptions = before.disruptions + (failure.fault is Fault.CLUSTER)
    update: dict[str, Any] = {"attempts": attempts, "disruptions": disruptions}
    update |= {"incarnation": 0, "pod": None, "pod_uid": None, "node": None, "device": None}
    update["progress"] = None
    update["conditions"] = [
        each for each in before.conditions if each.type != ConditionType.HEALTHY
    ]
    status = before.model_copy(update=update)
    needs = failure.needs_memory_bytes
    learn = (before.model_profile, needs) if needs and before.model_profile else None
    told, over = _chances(sight, failure, attempts, disruptions)
    text = f"{failure.message}; {told}"
    if over:
        step = finish(sight, status, Phase.FAILED, failure.reason, text)
        return replace(step, learn_memory=learn)
    others = [each for each in status.conditions if each.type != ConditionType.RETRYING]
    conditions = with_condition(
        others, ConditionType.RETRYING, True, failure.reason, text, sight.now_s
    )
    status = status.model_copy(
        update={"phase": Phase.PENDING, "message": text, "conditions": conditions}
    )
    notice = Notice(failure.reason, text, warning=True)
    return Action(status, learn_memory=learn, notices=(notice,), look_again_s=0.0)


def _chances(
    sight: TaskSnapshot, failure: Failure, attempts: int, disruptions: int
) -> tuple[str, bool]:
    """What is left to try, for people; and whether that is nothing."""
    retries, spent = sight.task.spec.retries, attempts - disruptions
    if failure.fault is Fault.CLUSTER:
        if disruptions > MAX_DISRUPTIONS:
            return f"disrupted {disruptions} times, given up", True
        return f"disruption {disruptions} of {MAX_DISRUPTIONS}, costs no retry", False
    if failure.fault is Fault.FINAL:
        return "trying again is useless", True
    if spent > retries:
        return "no retry is left", True
    needs = failure.needs_memory_bytes
    if needs and not any(_offers(each.status.memory_bytes, needs) for each in _others(sight)):
        return "no device has more memory", True
    return f"retry {spent} of {retries}", False


def _others(sight: TaskSnapshot) -> list[Any]:
    wanted = sight.task.spec.runtime
    return [each for each in sight.devices.values() if not wanted or each.spec.provider in wanted]


def _offers(memory_bytes: int | None, needs: int) -> bool:
    """Whether a device has so much memory; one that does not say may."""
    return not memory_bytes or memory_bytes >= needs


def retry_due_s(sight: TaskSnapshot) -> float:
    """When the next attempt may start; the pause doubles with every failed attempt."""
    attempts = sight.task.status.attempts
    retried = find_condition(sight.task.status.conditions, ConditionType.RETRYING)
    if not attempts or retried is None:
        return 0.0
    pause_s = RETRY.delay_s(attempts)
    return epoch_s(retried.last_transition_time) + pause_s


def reject_invalid_pod(sight: TaskSnapshot, why: str) -> Action:
    """The end of a task whose pod the API server does not accept."""
    mend = "spec.template" if sight.task.spec.template else "the task's spec"
    text = f"the API server refuses the pod; mend {mend} in a new task: {why}"
    return finish(sight, sight.task.status, Phase.FAILED, Reason.INVALID_POD, text)


def cancel(sight: TaskSnapshot) -> Action:
    """The end of a task that somebody ended; its pod is cleaned up in the step after."""
    text = "cancelled by spec.cancel"
    return finish(sight, sight.task.status, Phase.FAILED, Reason.CANCELLED, text)


def clean_up(sight: TaskSnapshot) -> Action:
    """Nothing of a finished task waits or runs; after its time to live it goes."""
    finished = find_condition(sight.task.status.conditions, ConditionType.FINISHED)
    left = next(
        (pod for pod, _ in sight.pods.values() if not pod.finished and not pod.deleting), None
    )
    ttl_s = _ttl_s(sight)
    if finished is None or ttl_s is None:
        return Action(sight.task.status, delete_pod=left)
    due_s = epoch_s(finished.last_transition_time) + ttl_s - sight.now_s
    if due_s <= 0:
        return Action(sight.task.status, delete_pod=left, delete_task=True)
    return Action(sight.task.status, delete_pod=left, look_again_s=due_s)


def _ttl_s(sight: TaskSnapshot) -> float | None:
    ttl = sight.task.spec.ttl_after_finished
    return duration_s(ttl) if ttl else None


# --- deadlines ---------------------------------------------------------------------------------


def deadline_exceeded(sight: TaskSnapshot) -> Action | None:
    """The end of a task that rejects being late, once it is."""
    left_s = deadline_left_s(sight)
    if left_s is None or left_s > 0:
        return None
    text = f"spec.deadline {sight.task.spec.deadline} has passed before it could start"
    return finish(sight, sight.task.status, Phase.FAILED, Reason.DEADLINE_EXCEEDED, text)


def deadline_left_s(sight: TaskSnapshot) -> float | None:
    """Seconds until a task that rejects being late is late; None for any other."""
    due_s = _deadline_s(sight)
    if due_s is None or sight.task.spec.deadline_policy is not DeadlinePolicy.REJECT:
        return None
    return due_s - sight.now_s


def _deadline_s(sight: TaskSnapshot) -> float | None:
    deadline = sight.task.spec.deadline
    if deadline is None:
        return None
    return epoch_s(sight.task.metadata["creationTimestamp"]) + duration_s(deadline)


def with_deadline_condition(
    sight: TaskSnapshot, status: InferenceTaskStatus, finish_time: str
) -> tuple[InferenceTaskStatus, tuple[Notice, ...]]:
    """The status of a success with a deadline: whether it was in time."""
    due_s = _deadline_s(sight)
    if due_s is None:
        return status, ()
    over_s = epoch_s(finish_time) - due_s
    deadline = sight.task.spec.deadline
    text = f"finished {abs(over_s):.0f} s {'after' if over_s > 0 else 'before'} its {deadline}"
    reason = Reason.DEADLINE_MISSED if over_s > 0 else Reason.DEADLINE_MET
    conditions = with_condition(
        status.conditions, ConditionType.DEADLINE_MET, over_s <= 0, reason, text, sight.now_s
    )
    told = (Notice(Reason.DEADLINE_MISSED, text, warning=True),) if over_s > 0 else ()
    return status.model_copy(update={"conditions": conditions}), told


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


def task_progress(done: int, total: int, run_s: float, now_s: float) -> TaskProgress:
    """How far a task is, as its status says it."""
    return TaskProgress(
        text=f"{done}/{total}", done=done, total=total, run_seconds=run_s, seen_at=rfc3339(now_s)
    )
