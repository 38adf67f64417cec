"""The next action for a task, as a pure function of a snapshot.

Level-based: the function is called for every event, on resync and after a restart. It looks at
states, never at changes, so calling it twice, late or out of order is harmless.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from acesniper.api.decision import Decision
from acesniper.api.names import GENERATION_ANNOTATION, MODEL_DIGEST_ANNOTATION
from acesniper.api.objects import PodView
from acesniper.api.reasons import ConditionType, Notice, Reason
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import (
    FINISHED,
    InferenceTaskStatus,
    Phase,
    condition_is_true,
    find_condition,
    with_condition,
)
from acesniper.operator.task import pending, pod_failure, pod_health, reports, termination
from acesniper.operator.task.pod_failure import Failure, Fault
from acesniper.operator.task.snapshot import Action, TaskSnapshot

Manifest = Mapping[str, Any]

DELETING_S = 5.0
"""Interval at which a pod that is being deleted is checked."""


def next_action(snapshot: TaskSnapshot) -> Action:
    """The next action for a task."""
    task = snapshot.task
    if task.status.phase in FINISHED:
        return termination.clean_up(snapshot)
    pod = pod_health.current_pod(snapshot)
    if pod is not None:
        return _follow_pod(snapshot, *pod)
    if task.spec.cancel:
        return termination.cancel(snapshot)
    if task.status.pod_uid is not None:
        return _pod_vanished(snapshot)
    if (expired := termination.deadline_exceeded(snapshot)) is not None:
        return expired
    name, profile, blocked = pending.resolve_model(snapshot)
    if blocked is not None:
        return blocked
    if profile is None:
        raise AssertionError("a model that is not blocked has a profile")
    return pending.enqueue(snapshot, name, profile)


# --- while there is a pod ----------------------------------------------------------------------


def _follow_pod(snapshot: TaskSnapshot, pod: PodView, manifest: Manifest) -> Action:
    """The next action while the pod of the current attempt exists."""
    update: dict[str, Any] = {"pod": pod.name, "pod_uid": pod.uid, "model_profile": pod.model}
    live = None if pod.finished or pod.deleting else pod
    if pod_failure.has_succeeded(manifest, snapshot.task.spec):
        return replace(_succeeded(snapshot, pod, manifest), delete_pod=live)
    if snapshot.task.spec.cancel:
        return termination.cancel(snapshot)
    if pod_failure.has_failed(manifest, snapshot.task.spec):
        device_bytes = _device_memory_bytes(snapshot, pod)
        failure = pod_failure.attempt_failure(manifest, snapshot.task.spec, device_bytes)
        return replace(termination.retry(snapshot, failure, pod.device), delete_pod=live)
    if pod.gated and not pod.deleting:
        update["phase"] = Phase.QUEUED
        return _gated(snapshot, pod, manifest, termination.updated_status(snapshot, **update))
    if pod.node is None:
        status = termination.updated_status(snapshot, **update)
        return _admitted(pod, manifest, status, snapshot.now_s)
    problem = pod_health.pod_problem(snapshot, pod, manifest)
    overrun = pod_health.run_time_failure(snapshot, pod, manifest)
    if live is not None and overrun is not None:
        force = problem is not None and problem.node_lost
        return replace(
            termination.retry(snapshot, overrun, pod.device), delete_pod=pod, force=force
        )
    action = (
        _healthy(snapshot, pod, manifest)
        if problem is None
        else _unhealthy(snapshot, pod, manifest, problem)
    )
    limits_s = (action.requeue_after_s, pod_health.run_time_left_s(snapshot, pod, manifest))
    left_s = [limit_s for limit_s in limits_s if limit_s is not None]
    if pod.deleting:
        left_s = [action.requeue_after_s or DELETING_S]
    return replace(action, requeue_after_s=min(left_s, default=None))


def _gated(
    snapshot: TaskSnapshot, pod: PodView, manifest: Manifest, status: InferenceTaskStatus
) -> Action:
    """The pod waits for the planner."""
    if snapshot.task.spec.suspend:
        update = {"phase": Phase.PENDING, "message": pending.SUSPENDED}
        suspended = termination.next_incarnation(status).model_copy(update=update)
        return Action(suspended, delete_pod=pod)
    if (expired := termination.deadline_exceeded(snapshot)) is not None:
        return replace(expired, delete_pod=pod)
    if pod.refused is not None:
        refused = pending.refused_by_planner(snapshot, status, pod.refused)
        return replace(refused, delete_pod=pod)
    if (notices := _outdated(snapshot, pod, manifest)) is not None:
        # Nothing has run yet: replace the pod by one of the current model and spec.
        renewed = termination.next_incarnation(status)
        return Action(renewed, delete_pod=pod, notices=notices, requeue_after_s=0.0)
    name, profile, blocked = pending.resolve_model(snapshot)
    if blocked is not None:
        return _without_model(blocked, status)
    if profile is not None:
        if (over_limit := pending.over_limit(snapshot, status, profile)) is not None:
            return replace(over_limit, delete_pod=pod)
        conditions, _ = pending.with_profiled_model(snapshot, name, profile)
        text = pending.waiting_message(snapshot, name, profile, pod.other_gates)
        status = status.model_copy(update={"conditions": conditions, "message": text})
    return Action(status, requeue_after_s=termination.deadline_left_s(snapshot))


def _without_model(blocked: Action, status: InferenceTaskStatus) -> Action:
    """The model of a queued task is missing or is read again; its pod stays."""
    if blocked.status.phase in FINISHED:
        return blocked
    kept = {"phase": status.phase, "pod": status.pod, "pod_uid": status.pod_uid}
    return replace(blocked, status=blocked.status.model_copy(update=kept))


def _admitted(
    pod: PodView, manifest: Manifest, status: InferenceTaskStatus, now_s: float
) -> Action:
    """The gate is open and the pod is not bound yet.

    Binding usually takes milliseconds, so only a failure of it is reported.
    """
    if pod.deleting:
        return Action(status, requeue_after_s=DELETING_S)
    failure = pod_health.scheduling_failure(manifest)
    if failure is None:
        return Action(status)
    text = f"kube-scheduler cannot place the pod on the device planned for it: {failure}"
    notice = Notice(Reason.UNSCHEDULABLE, text, warning=True)
    notices = () if pending.placement_problem(status) else (notice,)
    conditions = with_condition(
        status.conditions, ConditionType.HEALTHY, False, Reason.UNSCHEDULABLE, text, now_s
    )
    update = {"message": text, "conditions": conditions}
    return Action(status.model_copy(update=update), notices=notices)


def _healthy(snapshot: TaskSnapshot, pod: PodView, manifest: Manifest) -> Action:
    """The pod starts or runs without a problem."""
    action, now_s = _placed(snapshot, pod), snapshot.now_s
    conditions, notices = action.status.conditions, action.notices
    if find_condition(conditions, ConditionType.HEALTHY) is not None:
        conditions = with_condition(
            conditions, ConditionType.HEALTHY, True, Reason.POD_HEALTHY, "", now_s
        )
    reported = condition_is_true(conditions, ConditionType.MODEL_CHANGED)
    if not reported and (text := _replaced_model(snapshot, pod, manifest)) is not None:
        conditions = with_condition(
            conditions, ConditionType.MODEL_CHANGED, True, Reason.MODEL_CHANGED, text, now_s
        )
        notices = (*notices, Notice(Reason.MODEL_CHANGED, text, warning=True))
    status = action.status.model_copy(update={"conditions": conditions})
    return replace(action, status=status, notices=notices)


def _placed(snapshot: TaskSnapshot, pod: PodView) -> Action:
    """The status of a task whose pod is bound: where, why there, and what is predicted."""
    status = termination.updated_status(
        snapshot, pod=pod.name, pod_uid=pod.uid, model_profile=pod.model
    )
    running = pod.phase == "Running"
    decision = Decision.read(pod.decision)
    stock = f"{pod.node}, as the stock scheduler would"
    placement = decision.sentence() if decision else stock
    update: dict[str, Any] = {
        "phase": Phase.RUNNING if running else Phase.SCHEDULED,
        "message": f"runs on {pod.node}" if running else f"starts on {pod.node}",
        "node": pod.node,
        "device": pod.device,
        "conditions": with_condition(
            status.conditions, ConditionType.PLACED, True, Reason.PLACED, placement, snapshot.now_s
        ),
    }
    if decision is not None:
        created_s = epoch_s(snapshot.task.metadata["creationTimestamp"])
        update["predicted"] = termination.predicted_outcome(decision, created_s)
        update["decision"] = decision.record()
    notices = () if status.node == pod.node else (Notice(Reason.PLACED, f"on {placement}"),)
    return Action(status.model_copy(update=update), notices=notices)


def _unhealthy(
    snapshot: TaskSnapshot, pod: PodView, manifest: Manifest, problem: pod_health.PodProblem
) -> Action:
    """Report a problem; once it has lasted for its limit, the attempt has failed."""
    due_s = problem.due_s(snapshot, pod, manifest)
    if due_s is not None and snapshot.now_s >= due_s:
        action = termination.retry(snapshot, problem.failure, pod.device)
        return replace(action, delete_pod=pod, force=problem.node_lost)
    placed = _placed(snapshot, pod)
    reason, text = problem.failure.reason, problem.failure.message
    before = find_condition(placed.status.conditions, ConditionType.HEALTHY)
    reported = before is not None and before.status == "False" and before.reason == reason
    others = [
        condition
        for condition in placed.status.conditions
        if condition.type != ConditionType.HEALTHY
    ]
    since_s = pod_health.problem_since_s(snapshot, reason)
    conditions = with_condition(others, ConditionType.HEALTHY, False, reason, text, since_s)
    status = placed.status.model_copy(update={"conditions": conditions, "message": text})
    notices = () if reported else (Notice(reason, text, warning=True),)
    return Action(
        status,
        notices=(*placed.notices, *notices),
        requeue_after_s=None if due_s is None else due_s - snapshot.now_s,
    )


def _outdated(
    snapshot: TaskSnapshot, pod: PodView, manifest: Manifest
) -> tuple[Notice, ...] | None:
    """The events if a pod was created for another model or spec than the current one."""
    if (text := _replaced_model(snapshot, pod, manifest)) is not None:
        return (Notice(Reason.MODEL_CHANGED, text),)
    created_from = (manifest["metadata"].get("annotations") or {}).get(GENERATION_ANNOTATION)
    current = str(snapshot.task.metadata.get("generation"))
    return () if created_from is not None and created_from != current else None


def _replaced_model(snapshot: TaskSnapshot, pod: PodView, manifest: Manifest) -> str | None:
    """How the model differs from the one that a pod was created for; None if it does not."""
    digest = (manifest["metadata"].get("annotations") or {}).get(MODEL_DIGEST_ANNOTATION)
    name, profile, _ = pending.resolve_model(snapshot)
    if digest is None or not name:
        return None
    if name == pod.model and (profile is None or profile.spec.source.sha256 == digest):
        return None
    return f"the model was replaced under its name; pod {pod.name} uses sha256 {digest[:12]}..."


def _device_memory_bytes(snapshot: TaskSnapshot, pod: PodView) -> int | None:
    device = snapshot.devices.get(pod.device or "")
    return device.status.memory_bytes if device else None


# --- when the pod is gone or has succeeded -----------------------------------------------------


def _pod_vanished(snapshot: TaskSnapshot) -> Action:
    """The pod is gone: an attempt failed if it was bound; otherwise it was only withdrawn."""
    status = snapshot.task.status
    pod = status.pod
    if status.phase in (Phase.RUNNING, Phase.SCHEDULED):
        reason, text = Reason.POD_LOST, f"pod {pod} disappeared from node {status.node}"
        healthy = find_condition(status.conditions, ConditionType.HEALTHY)
        if healthy is not None and healthy.status == "False":
            reason, text = Reason.parse(healthy.reason, reason), healthy.message
        action = termination.retry(snapshot, Failure(reason, text, Fault.CLUSTER))
        return replace(action, confirm_gone=pod)
    update = {"message": "withdrawn before binding; queued again"}
    withdrawn = termination.next_incarnation(status).model_copy(update=update)
    return Action(withdrawn, confirm_gone=pod, requeue_after_s=0.0)


def _succeeded(snapshot: TaskSnapshot, pod: PodView, manifest: Manifest) -> Action:
    """The last action of a task that succeeded, with what was observed."""
    placed = _healthy(snapshot, pod, manifest)
    report = reports.read_report(manifest)
    created_s = epoch_s(snapshot.task.metadata["creationTimestamp"])
    observed, text = termination.observed_outcome(report, manifest, created_s, snapshot.now_s)
    node = (snapshot.nodes or {}).get(str(pod.node))
    reported_by = reports.reporter(snapshot.task, manifest, snapshot.image, node)
    update: dict[str, Any] = {"observed": observed.model_copy(update={"reported_by": reported_by})}
    if report is not None and report.inferences:
        total = snapshot.task.spec.inferences
        run_s = max((report.total_s or 0.0) - (report.load_s or 0.0), 0.0)
        update["progress"] = termination.task_progress(
            report.inferences, total, run_s, snapshot.now_s
        )
    predicted = placed.status.predicted
    if predicted is not None and observed.latency_median_seconds:
        observed_s = observed.latency_median_seconds
        update["error_ratio"] = abs(predicted.latency_seconds - observed_s) / observed_s
        text += f", predicted {predicted.text}, off by {100 * update['error_ratio']:.0f} %"
    status, missed = termination.with_deadline_condition(
        snapshot, placed.status.model_copy(update=update), str(observed.finish_time)
    )
    end = termination.finish(snapshot, status, Phase.SUCCEEDED, Reason.SUCCEEDED, text)
    return replace(end, notices=(*placed.notices, *missed, *end.notices))


# --- after the API server has rejected a request ------------------------------------------------


def pod_name_taken(action: Action) -> Action:
    """The action after the name of a pod turned out to be another owner's: use the next name."""
    status = termination.next_incarnation(action.status)
    return replace(action, status=status, requeue_after_s=0.0)


def pod_rejected(snapshot: TaskSnapshot, action: Action, cause: str) -> Action:
    """The action after the API server has rejected the pod for now: report it and keep waiting."""
    before = pending.placement_problem(snapshot.task.status)
    reported = before is not None and before.reason == Reason.POD_REJECTED
    text = f"no pod can be created for now: {cause}"
    kind, reason = ConditionType.HEALTHY, Reason.POD_REJECTED
    conditions = with_condition(
        snapshot.task.status.conditions, kind, False, reason, text, snapshot.now_s
    )
    others = [condition for condition in action.status.conditions if condition.type != kind]
    rejected = [condition for condition in conditions if condition.type == kind]
    status = action.status.model_copy(update={"message": text, "conditions": others + rejected})
    notices = () if reported else (Notice(reason, text, warning=True),)
    return Action(
        status,
        notices=(*action.notices, *notices),
        requeue_after_s=termination.deadline_left_s(snapshot),
    )


def pod_invalid(snapshot: TaskSnapshot, cause: str) -> Action:
    """End a task whose pod the API server rejects as invalid."""
    field = "spec.template" if snapshot.task.spec.template else "the task's spec"
    text = f"the API server rejects the pod as invalid; correct {field} in a new task: {cause}"
    return termination.finish(
        snapshot, snapshot.task.status, Phase.FAILED, Reason.INVALID_POD, text
    )


def reconcile_failed(snapshot: TaskSnapshot, cause: str) -> Action:
    """Report in the status that the task's last actions all failed."""
    text = f"cannot be reconciled for now: {cause}"
    status = snapshot.task.status
    update = {"phase": status.phase or Phase.PENDING, "message": text}
    notice = Notice(Reason.RECONCILE_FAILED, text, warning=True)
    return Action(status.model_copy(update=update), notices=(notice,))
