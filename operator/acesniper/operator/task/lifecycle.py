"""The life of a task, by level: from whatever is found in the cluster to the next step.

One pure function, called for every event, on resync and after a restart alike. It looks at states,
never at what changed, so that being called twice, late or out of order does no harm.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from acesniper.api import messages
from acesniper.api.conditions import condition_is_true, find_condition, with_condition
from acesniper.api.decision import Decision
from acesniper.api.names import GENERATION_ANNOTATION, MODEL_DIGEST_ANNOTATION
from acesniper.api.objects import PodView
from acesniper.api.reasons import ConditionType, Notice, Reason
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import FINISHED, InferenceTaskStatus, Phase
from acesniper.operator.task import termination
from acesniper.operator.task.pending import (
    SUSPENDED,
    enqueue,
    next_incarnation,
    placement_problem,
    resolve_model,
    waiting_message,
    with_profiled_model,
)
from acesniper.operator.task.pod import pod_name
from acesniper.operator.task.pod_health import (
    Failure,
    Fault,
    PodProblem,
    attempt_failure,
    pod_problem,
    problem_since_s,
    scheduling_failure,
)
from acesniper.operator.task.snapshot import Action, TaskSnapshot
from acesniper.operator.task.termination import observed_outcome, predicted_outcome, task_progress

DELETING_S = 5.0
"""How often a pod that is being deleted is looked at."""


def next_action(sight: TaskSnapshot) -> Action:
    """What to do about a task now."""
    task = sight.task
    if task.status.phase in FINISHED:
        return termination.clean_up(sight)
    pod = _current(sight)
    if pod is not None:
        return _follow(sight, *pod)
    if task.spec.cancel:
        return termination.cancel(sight)
    if task.status.pod_uid is not None:
        return _vanished(sight)
    if (late := termination.deadline_exceeded(sight)) is not None:
        return late
    name, profile, blocked = resolve_model(sight)
    if blocked is not None:
        return blocked
    if profile is None:
        raise AssertionError("a model that is not blocked has a profile")
    return enqueue(sight, name, profile)


# --- while there is a pod ----------------------------------------------------------------------


def _current(sight: TaskSnapshot) -> tuple[PodView, Mapping[str, Any]] | None:
    """The pod of the current attempt, by its name.

    Where somebody edited the status, that is no longer its name: then it is the one that the status
    has, or, where that was emptied, the one that lives.
    """
    status, pods = sight.task.status, sight.pods
    found = pods.get(pod_name(sight.task)) or pods.get(status.pod or "")
    if found is None and status.phase is None:
        living = (each for each in pods.values() if not each[0].finished and not each[0].deleting)
        return next(living, None)
    return found


def _follow(sight: TaskSnapshot, pod: PodView, manifest: Mapping[str, Any]) -> Action:
    """The pod of the current attempt exists: the task's state is the pod's."""
    seen: dict[str, Any] = {"pod": pod.name, "pod_uid": pod.uid, "model_profile": pod.model}
    if pod.phase == "Succeeded":
        return _succeeded(sight, pod, manifest)
    if sight.task.spec.cancel:
        return termination.cancel(sight)
    if pod.phase == "Failed":
        return termination.retry(
            sight, attempt_failure(manifest, sight.task.spec, _memory_bytes(sight, pod))
        )
    if pod.gated and not pod.deleting:
        seen["phase"] = Phase.QUEUED
        return _gated(sight, pod, manifest, termination.updated_status(sight, **seen))
    if pod.node is None:
        return _admitted(pod, manifest, termination.updated_status(sight, **seen), sight.now_s)
    found = pod_problem(sight, pod, manifest)
    step = (
        _running(sight, pod, manifest) if found is None else _troubled(sight, pod, manifest, found)
    )
    if pod.deleting and step.look_again_s is None:
        return replace(step, look_again_s=DELETING_S)
    return step


def _admitted(
    pod: PodView, manifest: Mapping[str, Any], status: InferenceTaskStatus, now_s: float
) -> Action:
    """Bound within milliseconds as a rule: not worth a write of its own, unless it cannot be."""
    if pod.deleting:
        return Action(status, look_again_s=DELETING_S)
    said = scheduling_failure(manifest)
    if said is None:
        return Action(status)
    text = f"kube-scheduler cannot place it on the device planned for it: {said}"
    told = () if placement_problem(status) else (Notice(Reason.UNSCHEDULABLE, text, warning=True),)
    conditions = with_condition(
        status.conditions, ConditionType.HEALTHY, False, Reason.UNSCHEDULABLE, text, now_s
    )
    update = {"message": text, "conditions": conditions}
    return Action(status.model_copy(update=update), notices=told)


def _gated(
    sight: TaskSnapshot, pod: PodView, manifest: Mapping[str, Any], status: InferenceTaskStatus
) -> Action:
    if sight.task.spec.suspend:
        update = {"phase": Phase.PENDING, "message": SUSPENDED}
        return Action(next_incarnation(status).model_copy(update=update), delete_pod=pod)
    if (late := termination.deadline_exceeded(sight)) is not None:
        return replace(late, delete_pod=pod)
    if pod.refused is not None:
        end = termination.finish(
            sight, status, Phase.FAILED, Reason.DEADLINE_UNREACHABLE, pod.refused
        )
        return replace(end, delete_pod=pod)
    if (changed := _outdated(sight, pod, manifest)) is not None:
        # Nothing has run yet: a pod of the model and the spec as they are now takes its place.
        return Action(next_incarnation(status), delete_pod=pod, notices=changed, look_again_s=0.0)
    name, profile, blocked = resolve_model(sight)
    if blocked is not None:
        return _without_model(blocked, status)
    if profile is not None:
        conditions, _ = with_profiled_model(sight, name, profile)
        text = waiting_message(sight, name, profile, pod.other_gates)
        status = status.model_copy(update={"conditions": conditions, "message": text})
    return Action(status, look_again_s=termination.deadline_left_s(sight))


def _without_model(blocked: Action, status: InferenceTaskStatus) -> Action:
    """The model of a queued task is gone or is read anew; its pod may wait for it."""
    if blocked.status.phase in FINISHED:
        return blocked
    kept = {"phase": status.phase, "pod": status.pod, "pod_uid": status.pod_uid}
    return replace(blocked, status=blocked.status.model_copy(update=kept))


def _running(sight: TaskSnapshot, pod: PodView, manifest: Mapping[str, Any]) -> Action:
    """It starts or runs, and all is well."""
    step = _placed(sight, pod)
    conditions = step.status.conditions
    if find_condition(conditions, ConditionType.HEALTHY) is not None:
        conditions = with_condition(
            conditions, ConditionType.HEALTHY, True, Reason.POD_HEALTHY, "", sight.now_s
        )
    notices = step.notices
    if (
        not condition_is_true(conditions, ConditionType.MODEL_CHANGED)
        and (text := _replaced(sight, pod, manifest)) is not None
    ):
        conditions = with_condition(
            conditions, ConditionType.MODEL_CHANGED, True, Reason.MODEL_CHANGED, text, sight.now_s
        )
        notices = (*notices, Notice(Reason.MODEL_CHANGED, text, warning=True))
    status = step.status.model_copy(update={"conditions": conditions})
    return replace(step, status=status, notices=notices)


def _placed(sight: TaskSnapshot, pod: PodView) -> Action:
    status = termination.updated_status(
        sight, pod=pod.name, pod_uid=pod.uid, model_profile=pod.model
    )
    running = pod.phase == "Running"
    decision = Decision.read(pod.decision)
    stock = f"{pod.node}, as the stock scheduler would"
    reason = decision.sentence() if decision else stock
    update: dict[str, Any] = {
        "phase": Phase.RUNNING if running else Phase.SCHEDULED,
        "message": f"runs on {pod.node}" if running else f"starts on {pod.node}",
        "node": pod.node,
        "device": pod.device,
        "conditions": with_condition(
            status.conditions, ConditionType.PLACED, True, Reason.PLACED, reason, sight.now_s
        ),
    }
    if decision is not None:
        created_s = epoch_s(sight.task.metadata["creationTimestamp"])
        update["predicted"] = predicted_outcome(decision, created_s)
        update["decision"] = decision.record()
    notices = () if status.node == pod.node else (Notice(Reason.PLACED, f"on {reason}"),)
    return Action(status.model_copy(update=update), notices=notices)


# --- when something is not as it should be -----------------------------------------------------


def _troubled(
    sight: TaskSnapshot, pod: PodView, manifest: Mapping[str, Any], found: PodProblem
) -> Action:
    """Say what is wrong; once that has lasted too long, the attempt has failed."""
    due_s = found.due_s(sight, pod, manifest)
    if due_s is not None and sight.now_s >= due_s:
        step = termination.retry(sight, found.failure)
        return replace(step, delete_pod=pod, by_force=found.unstoppable)
    placed = _placed(sight, pod)
    reason, text = found.failure.reason, found.failure.message
    before = find_condition(placed.status.conditions, ConditionType.HEALTHY)
    known = before is not None and before.status == "False" and before.reason == reason
    others = [each for each in placed.status.conditions if each.type != ConditionType.HEALTHY]
    conditions = with_condition(
        others, ConditionType.HEALTHY, False, reason, text, problem_since_s(sight, reason)
    )
    status = placed.status.model_copy(update={"conditions": conditions, "message": text})
    told = () if known else (Notice(reason, text, warning=True),)
    return Action(
        status,
        notices=(*placed.notices, *told),
        look_again_s=None if due_s is None else due_s - sight.now_s,
    )


def _vanished(sight: TaskSnapshot) -> Action:
    """The pod is gone: lost while it ran costs an attempt, withdrawn before does not."""
    status = sight.task.status
    gone = status.pod
    if status.phase in (Phase.RUNNING, Phase.SCHEDULED):
        why, text = Reason.POD_LOST, f"pod {gone} disappeared from node {status.node}"
        healthy = find_condition(status.conditions, ConditionType.HEALTHY)
        if healthy is not None and healthy.status == "False":
            why, text = Reason.parse(healthy.reason, why), healthy.message
        step = termination.retry(sight, Failure(why, text, Fault.CLUSTER))
        return replace(step, confirm_gone=gone)
    revised = next_incarnation(status).model_copy(update={"message": "its turn was revised"})
    return Action(revised, confirm_gone=gone, look_again_s=0.0)


def _outdated(
    sight: TaskSnapshot, pod: PodView, manifest: Mapping[str, Any]
) -> tuple[Notice, ...] | None:
    """What to tell where a pod was made from another model or spec than there is now."""
    if (text := _replaced(sight, pod, manifest)) is not None:
        return (Notice(Reason.MODEL_CHANGED, text),)
    made_from = (manifest["metadata"].get("annotations") or {}).get(GENERATION_ANNOTATION)
    now = str(sight.task.metadata.get("generation"))
    return () if made_from is not None and made_from != now else None


def _replaced(sight: TaskSnapshot, pod: PodView, manifest: Mapping[str, Any]) -> str | None:
    """How the model differs from the one that a pod was made for; None where it does not."""
    digest = (manifest["metadata"].get("annotations") or {}).get(MODEL_DIGEST_ANNOTATION)
    name, profile, _ = resolve_model(sight)
    if digest is None or not name:
        return None
    if name == pod.model and (profile is None or profile.spec.source.sha256 == digest):
        return None
    return f"the model was replaced under its name; pod {pod.name} has sha256 {digest[:12]}..."


def _memory_bytes(sight: TaskSnapshot, pod: PodView) -> int | None:
    device = sight.devices.get(pod.device or "")
    return device.status.memory_bytes if device else None


# --- success -----------------------------------------------------------------------------------


def _succeeded(sight: TaskSnapshot, pod: PodView, manifest: Mapping[str, Any]) -> Action:
    placed = _running(sight, pod, manifest)
    found = messages.parse_report(str(messages.terminated_state(manifest).get("message", "")))
    created_s = epoch_s(sight.task.metadata["creationTimestamp"])
    observed, text = observed_outcome(found, manifest, created_s, sight.now_s)
    update: dict[str, Any] = {"observed": observed}
    if found is not None and found.inferences:
        asked = sight.task.spec.inferences
        run_s = max((found.total_s or 0.0) - (found.load_s or 0.0), 0.0)
        update["progress"] = task_progress(found.inferences, asked, run_s, sight.now_s)
    expected = placed.status.predicted
    if expected is not None and observed.latency_median_seconds:
        measured_s = observed.latency_median_seconds
        update["error_ratio"] = abs(expected.latency_seconds - measured_s) / measured_s
        text += f", predicted {expected.text}, off by {100 * update['error_ratio']:.0f} %"
    status, late = termination.with_deadline_condition(
        sight, placed.status.model_copy(update=update), str(observed.finish_time)
    )
    end = termination.finish(sight, status, Phase.SUCCEEDED, Reason.SUCCEEDED, text)
    return replace(end, notices=(*placed.notices, *late, *end.notices))
