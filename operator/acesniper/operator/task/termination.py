"""How attempts and tasks end: retry, finish, cancel; and what a finished task reports.

All endings are listed in `docs/reference/endings.md`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from acesniper.api.convert import prediction_text
from acesniper.api.decision import Decision
from acesniper.api.messages import TaskReport, terminated_state
from acesniper.api.reasons import ConditionType, Notice, Reason
from acesniper.api.units import duration_s, duration_text, epoch_s, rfc3339
from acesniper.api.v1alpha1 import (
    Condition,
    DeadlinePolicy,
    DeviceProfile,
    InferenceTaskStatus,
    Phase,
    TaskObservation,
    TaskPrediction,
    TaskProgress,
    find_condition,
    with_condition,
)
from acesniper.domain.backoff import Backoff
from acesniper.domain.prediction import Prediction
from acesniper.operator.task.pod_failure import Failure, Fault
from acesniper.operator.task.snapshot import Action, TaskSnapshot

RETRY_BACKOFF = Backoff(first_s=5.0, max_s=300.0)
MAX_DISRUPTIONS = 10
"""Attempts of a task that the cluster may end before the task fails."""
MAX_FAILED_DEVICES = 8
"""Devices on which attempts failed that a task's status keeps."""
MAX_CLOCK_SKEW_S = 2.0
"""Times of different machines that are out of order by no more than this are left as they are."""


def updated_status(snapshot: TaskSnapshot, **update: Any) -> InferenceTaskStatus:  # noqa: ANN401 - any field
    """The task's status with some fields changed, for the current generation of its spec."""
    generation = snapshot.task.metadata.get("generation")
    return snapshot.task.status.model_copy(update={"observed_generation": generation, **update})


# --- the end of a task -------------------------------------------------------------------------


def finish(
    snapshot: TaskSnapshot, status: InferenceTaskStatus, phase: Phase, reason: Reason, text: str
) -> Action:
    """End a task in `phase`; clean-up follows in later actions."""
    conditions = with_condition(
        status.conditions, ConditionType.FINISHED, True, reason, text, snapshot.now_s
    )
    update: dict[str, Any] = {"phase": phase, "message": text, "conditions": conditions}
    update["observed_generation"] = snapshot.task.metadata.get("generation")
    notice = Notice(reason, text, warning=phase is Phase.FAILED)
    return Action(
        status.model_copy(update=update), notices=(notice,), requeue_after_s=_ttl_s(snapshot)
    )


def cancel(snapshot: TaskSnapshot) -> Action:
    """End a task because of spec.cancel; its pod is deleted by the next action."""
    text = "cancelled by spec.cancel"
    return finish(snapshot, snapshot.task.status, Phase.FAILED, Reason.CANCELLED, text)


def clean_up(snapshot: TaskSnapshot) -> Action:
    """Delete what is left of a finished task: its live pod, and itself after its time to live."""
    status = snapshot.task.status
    finished = find_condition(status.conditions, ConditionType.FINISHED)
    live_pods = (pod for pod, _ in snapshot.pods.values() if not pod.finished and not pod.deleting)
    pod, ttl_s = next(live_pods, None), _ttl_s(snapshot)
    if finished is None or ttl_s is None:
        return Action(status, delete_pod=pod)
    left_s = epoch_s(finished.last_transition_time) + ttl_s - snapshot.now_s
    if left_s <= 0:
        return Action(status, delete_pod=pod, delete_task=True)
    return Action(status, delete_pod=pod, requeue_after_s=left_s)


def _ttl_s(snapshot: TaskSnapshot) -> float | None:
    ttl = snapshot.task.spec.ttl_after_finished
    return duration_s(ttl) if ttl else None


# --- another attempt ---------------------------------------------------------------------------


def retry(snapshot: TaskSnapshot, failure: Failure, device: str | None = None) -> Action:
    """Count a failed attempt on a device; try again unless that is useless or no retry is left."""
    before = snapshot.task.status
    device = device or before.device
    attempts = before.attempts + 1
    disruptions = before.disruptions + (failure.fault is Fault.CLUSTER)
    status = before.model_copy(
        update={
            "attempts": attempts,
            "disruptions": disruptions,
            "failed_devices": _with_failed_device(before.failed_devices, device, failure),
            "incarnation": 0,
            "pod": None,
            "pod_uid": None,
            "node": None,
            "device": None,
            "progress": None,
            "conditions": _without(ConditionType.HEALTHY, before.conditions),
        }
    )
    needs = failure.needs_memory_bytes
    learn = (before.model_profile, needs) if needs and before.model_profile else None
    outlook, exhausted = _outlook(snapshot, failure, attempts, disruptions)
    text = f"{failure.message}; {outlook}"
    if exhausted:
        end = finish(snapshot, status, Phase.FAILED, failure.reason, text)
        return replace(end, learn_memory=learn)
    kind = ConditionType.RETRYING
    conditions = with_condition(
        _without(kind, status.conditions), kind, True, failure.reason, text, snapshot.now_s
    )
    update = {"phase": Phase.PENDING, "message": text, "conditions": conditions}
    return Action(
        status.model_copy(update=update),
        learn_memory=learn,
        notices=(Notice(failure.reason, text, warning=True),),
        requeue_after_s=0.0,
    )


def _with_failed_device(before: list[str], device: str | None, failure: Failure) -> list[str]:
    """The devices on which attempts failed for a reason that another device may not have."""
    may_be_the_device = failure.fault is Fault.APPLICATION or (
        failure.reason is Reason.REJECTED_BY_NODE
    )
    if device is None or not may_be_the_device:
        return before
    others = [name for name in before if name != device]
    return [*others, device][-MAX_FAILED_DEVICES:]


def next_incarnation(status: InferenceTaskStatus) -> InferenceTaskStatus:
    """The status for another pod of the same attempt."""
    update = {"incarnation": status.incarnation + 1, "pod": None, "pod_uid": None}
    return status.model_copy(update=update)


def retry_due_s(snapshot: TaskSnapshot) -> float:
    """When the next attempt may start, in seconds since the epoch; the pause doubles each time."""
    attempts = snapshot.task.status.attempts
    retrying = find_condition(snapshot.task.status.conditions, ConditionType.RETRYING)
    if not attempts or retrying is None:
        return 0.0
    return epoch_s(retrying.last_transition_time) + RETRY_BACKOFF.delay_s(attempts)


def _outlook(
    snapshot: TaskSnapshot, failure: Failure, attempts: int, disruptions: int
) -> tuple[str, bool]:
    """What follows a failed attempt, as text; and whether there is no further attempt."""
    retries, used = snapshot.task.spec.retries, attempts - disruptions
    if failure.fault is Fault.CLUSTER:
        if disruptions > MAX_DISRUPTIONS:
            return f"disrupted {disruptions} times, no further attempt", True
        return f"disruption {disruptions} of {MAX_DISRUPTIONS}, costs no retry", False
    if failure.fault is Fault.FINAL:
        return "a retry would fail as well", True
    if used > retries:
        return "no retry is left", True
    needs = failure.needs_memory_bytes
    if needs and not any(_may_have_memory(device, needs) for device in _usable_devices(snapshot)):
        return "no device has more memory", True
    return f"retry {used} of {retries}", False


def _usable_devices(snapshot: TaskSnapshot) -> list[DeviceProfile]:
    providers = snapshot.task.spec.runtime
    return [
        device
        for device in snapshot.devices.values()
        if not providers or device.spec.provider in providers
    ]


def _may_have_memory(device: DeviceProfile, needs_bytes: int) -> bool:
    """Whether a device has so much memory; True if its memory is unknown."""
    return not device.status.memory_bytes or device.status.memory_bytes >= needs_bytes


def _without(kind: ConditionType, conditions: list[Condition]) -> list[Condition]:
    return [condition for condition in conditions if condition.type != kind]


# --- deadlines ---------------------------------------------------------------------------------


def deadline_exceeded(snapshot: TaskSnapshot) -> Action | None:
    """The end of a task with deadlinePolicy Reject whose deadline has passed; None otherwise."""
    left_s = deadline_left_s(snapshot)
    if left_s is None or left_s > 0:
        return None
    text = f"spec.deadline {snapshot.task.spec.deadline} passed before the task could start"
    return finish(snapshot, snapshot.task.status, Phase.FAILED, Reason.DEADLINE_EXCEEDED, text)


def deadline_left_s(snapshot: TaskSnapshot) -> float | None:
    """Seconds until the deadline of a task with deadlinePolicy Reject; None for other tasks."""
    due_s = _deadline_due_s(snapshot)
    if due_s is None or snapshot.task.spec.deadline_policy is not DeadlinePolicy.REJECT:
        return None
    return due_s - snapshot.now_s


def _deadline_due_s(snapshot: TaskSnapshot) -> float | None:
    deadline = snapshot.task.spec.deadline
    if deadline is None:
        return None
    return epoch_s(snapshot.task.metadata["creationTimestamp"]) + duration_s(deadline)


def with_deadline_condition(
    snapshot: TaskSnapshot, status: InferenceTaskStatus, finish_time: str
) -> tuple[InferenceTaskStatus, tuple[Notice, ...]]:
    """The status of a task that succeeded, with the condition DeadlineMet if it has a deadline.

    A missed deadline also gives an event.
    """
    due_s = _deadline_due_s(snapshot)
    if due_s is None:
        return status, ()
    over_s = epoch_s(finish_time) - due_s
    met, deadline = over_s <= 0, snapshot.task.spec.deadline
    text = f"finished {abs(over_s):.0f} s {'before' if met else 'after'} its deadline of {deadline}"
    reason = Reason.DEADLINE_MET if met else Reason.DEADLINE_MISSED
    conditions = with_condition(
        status.conditions, ConditionType.DEADLINE_MET, met, reason, text, snapshot.now_s
    )
    notices = () if met else (Notice(reason, text, warning=True),)
    return status.model_copy(update={"conditions": conditions}), notices


# --- predicted and observed outcome ------------------------------------------------------------


def predicted_outcome(decision: Decision, created_s: float) -> TaskPrediction:
    """The prediction for the chosen candidate of a decision; `created_s` is the task's creation."""
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
    report: TaskReport | None, pod: Mapping[str, Any], created_s: float, now_s: float
) -> tuple[TaskObservation, str]:
    """The observation of a finished pod, from its report and its times; and a sentence about it.

    Times of the node are corrected by its clock skew.
    """
    state = terminated_state(pod)
    skew_s = _clock_skew_s(pod, now_s)
    container_started = _corrected(state.get("startedAt"), skew_s)
    pod_started = _corrected(pod.get("status", {}).get("startTime"), skew_s)
    started = container_started or pod_started
    median_s = report.latency_median_s if report else None
    text = duration_text(median_s) if median_s else "not reported"
    observed = TaskObservation(
        text=text,
        latency_median_seconds=median_s,
        latency_p90_seconds=report.latency_p90_s if report else None,
        container_seconds=_container_start_s(pod, container_started),
        fetch_seconds=report.fetch_s if report else None,
        load_seconds=report.load_s if report else None,
        wait_seconds=max(epoch_s(started) - created_s, 0.0) if started else None,
        start_time=started,
        finish_time=_corrected(state.get("finishedAt"), skew_s) or rfc3339(now_s),
    )
    return observed, f"observed {text}"


def task_progress(done: int, total: int, run_s: float, now_s: float) -> TaskProgress:
    """The progress of a task, as its status has it."""
    return TaskProgress(
        text=f"{done}/{total}", done=done, total=total, run_seconds=run_s, seen_at=rfc3339(now_s)
    )


def _bound_s(pod: Mapping[str, Any]) -> float | None:
    """When the pod was bound, by the API server's clock, in whole seconds since the epoch."""
    for condition in pod.get("status", {}).get("conditions") or ():
        bound = condition.get("lastTransitionTime")
        if condition["type"] == "PodScheduled" and condition["status"] == "True" and bound:
            return epoch_s(bound)
    return None


def _container_start_s(pod: Mapping[str, Any], started: str | None) -> float | None:
    """Seconds from binding to the start of the container; both times are whole seconds."""
    bound_s = _bound_s(pod)
    if bound_s is None or started is None:
        return None
    return max(epoch_s(started) - bound_s, 0.0)


def _clock_skew_s(pod: Mapping[str, Any], now_s: float) -> float:
    """Seconds that the clock of the pod's node is ahead (below 0: behind), if that can be seen.

    It can be seen if the kubelet accepted the pod before it was bound, or if the pod ended in the
    future. The kubelet accepts a pod within a moment of its binding, so both times are the same
    instant on two clocks.
    """
    bound_s, accepted = _bound_s(pod), pod.get("status", {}).get("startTime")
    if bound_s is None or not accepted:
        return 0.0
    finished = terminated_state(pod).get("finishedAt")
    behind = epoch_s(accepted) < bound_s - MAX_CLOCK_SKEW_S
    ahead = finished is not None and epoch_s(finished) > now_s + MAX_CLOCK_SKEW_S
    return epoch_s(accepted) - bound_s if behind or ahead else 0.0


def _corrected(timestamp: str | None, skew_s: float) -> str | None:
    return rfc3339(epoch_s(timestamp) - skew_s) if timestamp and skew_s else timestamp
