"""Before a task has a pod: its model is found or made, and its turn comes near."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

from acesniper.api import convert
from acesniper.api.conditions import condition_is_true, find_condition, with_condition
from acesniper.api.names import API_VERSION
from acesniper.api.objects import Json
from acesniper.api.reasons import ConditionType, Notice, Reason
from acesniper.api.units import rfc3339
from acesniper.api.v1alpha1 import (
    Condition,
    InferenceTaskSpec,
    InferenceTaskStatus,
    ModelPolicy,
    ModelProfile,
    ModelProfileSpec,
    ModelSource,
    Phase,
)
from acesniper.domain.device import DeviceId
from acesniper.domain.errors import InvalidTask
from acesniper.domain.prediction import Feasibility
from acesniper.domain.task import Task
from acesniper.operator.task.pod import render_pod
from acesniper.operator.task.snapshot import Action, TaskSnapshot
from acesniper.operator.task.termination import (
    deadline_left_s,
    finish,
    retry_due_s,
    updated_status,
)
from acesniper.policies.estimates import check_feasibility

SUSPENDED = "suspended; set spec.suspend to false to go on"
WAITS = "waits for a device"


def resolve_model(sight: TaskSnapshot) -> tuple[str, ModelProfile | None, Action | None]:
    """The profile the task needs, or the step to take while it cannot be used.

    Its name comes first, "" while the profile that the task names is missing.
    """
    task, spec = sight.task, sight.task.spec
    base = sight.models.get(spec.model) if spec.model else None
    if spec.model and base is None:
        text = f"spec.model: there is no ModelProfile {spec.model!r} in this namespace; create it"
        return "", None, _wait(sight, Reason.MODEL_NOT_FOUND, text, warning=True)
    name = variant_name(spec, base)
    profile = sight.models.get(name)
    if profile is None:
        source = spec.source or (base.spec.source if base else None)
        if source is None:
            raise AssertionError("the schema demands spec.model or spec.source")
        manifest = variant_manifest(name, task.metadata["namespace"], source, spec, base)
        step = _wait(sight, Reason.PROFILING, f"ModelProfile {name} is being made", model=name)
        return name, None, replace(step, create_model=manifest)
    if condition_is_true(profile.status.conditions, ConditionType.PROFILED):
        return name, profile, None
    return name, None, _unprofiled(sight, name, profile)


def _unprofiled(sight: TaskSnapshot, name: str, profile: ModelProfile) -> Action:
    found = find_condition(profile.status.conditions, ConditionType.PROFILED)
    if found is None:
        return _wait(sight, Reason.PROFILING, f"ModelProfile {name} is being read", model=name)
    text = f"ModelProfile {name}: {found.message}"
    reason = Reason.parse(found.reason, Reason.PROFILING)
    unsupported = condition_is_true(profile.status.conditions, ConditionType.UNSUPPORTED)
    if unsupported and sight.task.spec.model_policy is ModelPolicy.FAIL:
        return finish(sight, sight.task.status, Phase.FAILED, reason, text)
    return _wait(sight, reason, text, model=name, warning=True)


def _wait(
    sight: TaskSnapshot, reason: Reason, text: str, *, model: str = "", warning: bool = False
) -> Action:
    before = find_condition(sight.task.status.conditions, ConditionType.PROFILED)
    conditions = with_condition(
        sight.task.status.conditions, ConditionType.PROFILED, False, reason, text, sight.now_s
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
        notices.append(Notice(Reason.QUEUED, f"waits for a device; model {name}"))
    text = waiting_message(sight, name, profile)
    status = status.model_copy(update={"phase": Phase.QUEUED, "message": text})
    if not sight.may_queue:
        return Action(status, notices=tuple(notices), look_again_s=deadline_left_s(sight))
    if (trouble := placement_problem(status)) is not None and trouble.reason == Reason.POD_REJECTED:
        conditions = [each for each in conditions if each.type != ConditionType.HEALTHY]
        text = unschedulable_reason(sight, name, profile) or WAITS
        status = status.model_copy(update={"message": text, "conditions": conditions})
    try:
        pod = render_pod(task, name, profile.spec.source, sight.image, sight.cache)
    except InvalidTask as error:
        return finish(sight, status, Phase.FAILED, Reason.INVALID_POD, str(error))
    return Action(status, create_pod=pod, notices=tuple(notices))


def with_profiled_model(
    sight: TaskSnapshot, name: str, profile: ModelProfile
) -> tuple[list[Condition], list[Notice]]:
    """The conditions of a task whose model is known, and what to tell if that is news."""
    before, text = sight.task.status.conditions, f"model {name}: {profile.status.text}"
    told = (
        [] if condition_is_true(before, ConditionType.PROFILED) else [Notice(Reason.PROFILED, text)]
    )
    return with_condition(
        before, ConditionType.PROFILED, True, Reason.PROFILED, text, sight.now_s
    ), told


def pod_rejected(sight: TaskSnapshot, step: Action, why: str) -> Action:
    """The pod that a step was to make is refused for now: say so, and go on waiting."""
    before = placement_problem(sight.task.status)
    known = before is not None and before.reason == Reason.POD_REJECTED
    text = f"no pod can be made for now: {why}"
    conditions = with_condition(
        sight.task.status.conditions,
        ConditionType.HEALTHY,
        False,
        Reason.POD_REJECTED,
        text,
        sight.now_s,
    )
    others = [each for each in step.status.conditions if each.type != ConditionType.HEALTHY]
    refused = [each for each in conditions if each.type == ConditionType.HEALTHY]
    status = step.status.model_copy(update={"message": text, "conditions": others + refused})
    told = () if known else (Notice(Reason.POD_REJECTED, text, warning=True),)
    return Action(status, notices=(*step.notices, *told), look_again_s=deadline_left_s(sight))


def placement_problem(status: InferenceTaskStatus) -> Condition | None:
    """What kept a task from its device so far, other than that others had their turn."""
    found = find_condition(status.conditions, ConditionType.HEALTHY)
    if (
        found is None
        or found.status == "True"
        or found.reason not in (Reason.POD_REJECTED, Reason.UNSCHEDULABLE)
    ):
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


TOLD = 3
"""Devices whose reasons are told."""
UNSCHEDULABLE_TTL_S = 5.0
"""So long an answer holds for all tasks that ask for the same: finding it grows with the fleet."""
MOST_KEPT = 1000


def unschedulable_reason(sight: TaskSnapshot, name: str, profile: ModelProfile) -> str | None:
    """Why no device can take the task of a model called `name`; None while there is hope."""
    features = convert.model_features(profile)
    task = convert.to_task(sight.task, name, features.peak_memory_bytes if features else 0)
    demand = (task.providers, task.node_selector, task.memory_bytes)
    found_s, found = sight.nowhere.get(demand, (-inf, None))
    if not 0.0 <= sight.now_s - found_s < UNSCHEDULABLE_TTL_S:
        found = _reasons(sight, task)
        if len(sight.nowhere) >= MOST_KEPT:
            sight.nowhere.clear()
        sight.nowhere[demand] = sight.now_s, found
    return found


def _reasons(sight: TaskSnapshot, task: Task) -> str | None:
    reasons = []
    for device, verdict in _verdicts(sight, task):
        if verdict.feasible or not verdict.lasting:
            return None
        reasons.append(f"{device}: {verdict.reason}")
    if not reasons:
        return None
    others = f"; and {len(reasons) - TOLD} more" if len(reasons) > TOLD else ""
    return f"no device can take it: {'; '.join(reasons[:TOLD])}{others}"


def _verdicts(sight: TaskSnapshot, task: Task) -> Iterator[tuple[str, Feasibility]]:
    """What is to be said of each device whose node is there; none where nodes are not known."""
    for each in sight.devices.values():
        node = (sight.nodes or {}).get(each.spec.node)
        if node is not None:
            device = convert.to_device(each, schedulable=True)
            labels = node.get("metadata", {}).get("labels") or {}
            yield device.id, check_feasibility(task, device, {DeviceId(device.id): labels})


def variant_name(spec: InferenceTaskSpec, base: ModelProfile | None) -> str:
    """The name of the profile a task needs: the one it names if that fits, else one of its own."""
    if base is not None and matches_profile(spec, base.spec):
        return str(base.metadata["name"])
    source = spec.source or (base.spec.source if base else None)
    shapes = json.dumps([spec.batch_size, spec.input_shapes, source and source.uri], sort_keys=True)
    digest = hashlib.sha256(f"{source and source.sha256} {shapes}".encode()).hexdigest()[:10]
    stem = spec.model or "model"
    return f"{stem[:40].rstrip('-.')}-b{spec.batch_size}-{digest}"


def matches_profile(spec: InferenceTaskSpec, profile: ModelProfileSpec) -> bool:
    """Whether a profile was read for a task's batch and shapes."""
    return (
        spec.batch_size == profile.batch_size
        and {**profile.input_shapes, **spec.input_shapes} == profile.input_shapes
    )


def variant_manifest(
    name: str,
    namespace: str,
    source: ModelSource,
    spec: InferenceTaskSpec,
    base: ModelProfile | None,
) -> Json:
    """The profile to create for a task."""
    shapes = {**(base.spec.input_shapes if base else {}), **spec.input_shapes}
    wanted = ModelProfileSpec(source=source, batch_size=spec.batch_size, input_shapes=shapes)
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelProfile",
        "metadata": {"name": name, "namespace": namespace},
        "spec": wanted.model_dump(by_alias=True, mode="json", exclude_none=True),
    }
