"""Before a task has a pod: its model is found or made, and its turn comes near."""

from collections.abc import Sequence
from dataclasses import replace

from acesniper.api.conditions import condition_is_true, find_condition, with_condition
from acesniper.api.reasons import Notice
from acesniper.api.units import rfc3339
from acesniper.api.v1alpha1 import (
    Condition,
    InferenceTaskStatus,
    ModelPolicy,
    ModelProfile,
    Phase,
)
from acesniper.domain.errors import InvalidTask
from acesniper.operator.task.pending import unschedulable_reason, variant_manifest, variant_name
from acesniper.operator.task.pod import render_pod
from acesniper.operator.task.pod_health import HEALTHY, NOT_PLACED
from acesniper.operator.task.snapshot import Action, TaskSnapshot
from acesniper.operator.task.termination import (
    deadline_left_s,
    finish,
    retry_due_s,
    updated_status,
)

SUSPENDED = "suspended; set spec.suspend to false to go on"
WAITS = "waits for a device"
REFUSED = "PodRefused"


def resolve_model(sight: TaskSnapshot) -> tuple[str, ModelProfile | None, Action | None]:
    """The profile the task needs, or the step to take while it cannot be used.

    Its name comes first, "" while the profile that the task names is missing.
    """
    task, spec = sight.task, sight.task.spec
    base = sight.models.get(spec.model) if spec.model else None
    if spec.model and base is None:
        text = f"spec.model: there is no ModelProfile {spec.model!r} in this namespace; create it"
        return "", None, _wait(sight, "ModelNotFound", text, warning=True)
    name = variant_name(spec, base)
    profile = sight.models.get(name)
    if profile is None:
        source = spec.source or (base.spec.source if base else None)
        if source is None:
            raise AssertionError("the schema demands spec.model or spec.source")
        manifest = variant_manifest(name, task.metadata["namespace"], source, spec, base)
        step = _wait(sight, "Profiling", f"ModelProfile {name} is being made", model=name)
        return name, None, replace(step, create_model=manifest)
    if condition_is_true(profile.status.conditions, "Profiled"):
        return name, profile, None
    return name, None, _unprofiled(sight, name, profile)


def _unprofiled(sight: TaskSnapshot, name: str, profile: ModelProfile) -> Action:
    found = find_condition(profile.status.conditions, "Profiled")
    if found is None:
        return _wait(sight, "Profiling", f"ModelProfile {name} is being read", model=name)
    text = f"ModelProfile {name}: {found.message}"
    unsupported = condition_is_true(profile.status.conditions, "Unsupported")
    if unsupported and sight.task.spec.model_policy is ModelPolicy.FAIL:
        return finish(sight, sight.task.status, Phase.FAILED, found.reason, text)
    return _wait(sight, found.reason, text, model=name, warning=True)


def _wait(
    sight: TaskSnapshot, reason: str, text: str, *, model: str = "", warning: bool = False
) -> Action:
    before = find_condition(sight.task.status.conditions, "Profiled")
    conditions = with_condition(
        sight.task.status.conditions, "Profiled", False, reason, text, sight.now_s
    )
    status = updated_status(
        sight,
        phase=Phase.PENDING,
        message=text,
        conditions=conditions,
        model_profile=model or sight.task.spec.model,
    )
    news = before is None or before.reason != reason
    notices = (Notice(reason, text, warning),) if news and warning else ()
    return Action(status, notices=notices, look_again_s=deadline_left_s(sight))


def enqueue(sight: TaskSnapshot, name: str, profile: ModelProfile) -> Action:
    """The model is known: make the gated pod when its turn is near."""
    task = sight.task
    conditions, notices = with_profiled_model(sight, name, profile)
    status = updated_status(sight, conditions=conditions, model_profile=name)
    if task.spec.suspend:
        status = status.model_copy(update={"phase": Phase.PENDING, "message": SUSPENDED})
        return Action(status, notices=tuple(notices))
    if (due_s := retry_due_s(sight)) > sight.now_s:
        # A point in time, not a countdown: every new text is a write, an event and a new look.
        text = f"attempt {task.status.attempts + 1} starts at {rfc3339(due_s)}"
        status = status.model_copy(update={"phase": Phase.PENDING, "message": text})
        return Action(status, notices=tuple(notices), look_again_s=due_s - sight.now_s)
    if task.status.phase is not Phase.QUEUED:
        notices.append(Notice("Queued", f"waits for a device; model {name}"))
    text = waiting_message(sight, name, profile)
    status = status.model_copy(update={"phase": Phase.QUEUED, "message": text})
    if not sight.may_queue:
        return Action(status, notices=tuple(notices), look_again_s=deadline_left_s(sight))
    if (trouble := placement_problem(status)) is not None and trouble.reason == REFUSED:
        conditions = [each for each in conditions if each.type != HEALTHY]
        text = unschedulable_reason(sight, name, profile) or WAITS
        status = status.model_copy(update={"message": text, "conditions": conditions})
    try:
        pod = render_pod(task, name, profile.spec.source, sight.image, sight.cache)
    except InvalidTask as error:
        return finish(sight, status, Phase.FAILED, "InvalidPod", str(error))
    return Action(status, create_pod=pod, notices=tuple(notices))


def with_profiled_model(
    sight: TaskSnapshot, name: str, profile: ModelProfile
) -> tuple[list[Condition], list[Notice]]:
    """The conditions of a task whose model is known, and what to tell if that is news."""
    before, text = sight.task.status.conditions, f"model {name}: {profile.status.text}"
    told = [] if condition_is_true(before, "Profiled") else [Notice("Profiled", text)]
    return with_condition(before, "Profiled", True, "Profiled", text, sight.now_s), told


def pod_rejected(sight: TaskSnapshot, step: Action, why: str) -> Action:
    """The pod that a step was to make is refused for now: say so, and go on waiting."""
    before = placement_problem(sight.task.status)
    known = before is not None and before.reason == REFUSED
    text = f"no pod can be made for now: {why}"
    conditions = with_condition(
        sight.task.status.conditions, HEALTHY, False, REFUSED, text, sight.now_s
    )
    others = [each for each in step.status.conditions if each.type != HEALTHY]
    refused = [each for each in conditions if each.type == HEALTHY]
    status = step.status.model_copy(update={"message": text, "conditions": others + refused})
    told = () if known else (Notice(REFUSED, text, warning=True),)
    return Action(status, notices=(*step.notices, *told), look_again_s=deadline_left_s(sight))


def placement_problem(status: InferenceTaskStatus) -> Condition | None:
    """What kept a task from its device so far, other than that others had their turn."""
    found = find_condition(status.conditions, HEALTHY)
    if found is None or found.status == "True" or found.reason not in (REFUSED, NOT_PLACED):
        return None
    return found


def waiting_message(
    sight: TaskSnapshot, name: str, profile: ModelProfile, other_gates: Sequence[str] = ()
) -> str:
    """What a task that has its turn, or had it, waits for."""
    if other_gates:
        return f"waits for scheduling gate {', '.join(other_gates)}, which somebody else opens"
    trouble = placement_problem(sight.task.status)
    return trouble.message if trouble else unschedulable_reason(sight, name, profile) or WAITS


def next_incarnation(status: InferenceTaskStatus) -> InferenceTaskStatus:
    """The status of an attempt that needs another pod, and has lost nothing but that."""
    update = {"incarnation": status.incarnation + 1, "pod": None, "pod_uid": None}
    return status.model_copy(update=update)
