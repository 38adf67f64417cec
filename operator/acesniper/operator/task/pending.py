"""Decisions about a task before its pod is bound: its model, its place in the queue, its pod."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from math import inf

from acesniper.api import convert
from acesniper.api.names import API_VERSION, DERIVED_LABEL
from acesniper.api.objects import Json
from acesniper.api.reasons import ConditionType, Notice, Reason
from acesniper.api.units import duration_text, rfc3339
from acesniper.api.v1alpha1 import (
    Condition,
    InferenceTaskSpec,
    InferenceTaskStatus,
    ModelPolicy,
    ModelProfile,
    ModelProfileSpec,
    ModelSource,
    Phase,
    condition_is_true,
    find_condition,
    with_condition,
)
from acesniper.domain.errors import InvalidTask
from acesniper.operator.task import termination
from acesniper.operator.task.pod import render_pod
from acesniper.operator.task.snapshot import Action, TaskSnapshot
from acesniper.policies.estimates import LIMIT_TEXT
from acesniper.policies.feasibility import infeasible_everywhere

SUSPENDED = "suspended; set spec.suspend to false to resume"
WAITING = "waits for a device"
UNSCHEDULABLE_TTL_S = 5.0
"""How long a cached reason is valid for all tasks of the same demand: computing it grows with the
fleet."""
MAX_CACHED_DEMANDS = 1000


# --- the model ---------------------------------------------------------------------------------


def resolve_model(snapshot: TaskSnapshot) -> tuple[str, ModelProfile | None, Action | None]:
    """Name and ModelProfile of the task's model, or the action while the profile is not ready.

    The name is "" while the ModelProfile that spec.model names is missing.
    """
    task, spec = snapshot.task, snapshot.task.spec
    base = snapshot.models.get(spec.model) if spec.model else None
    if spec.model and base is None:
        text = f"spec.model: there is no ModelProfile {spec.model!r} in this namespace; create it"
        return "", None, _wait(snapshot, Reason.MODEL_NOT_FOUND, text, warning=True)
    name = variant_name(spec, base)
    profile = snapshot.models.get(name)
    if profile is None:
        source = spec.source or (base.spec.source if base else None)
        if source is None:
            raise AssertionError("the schema demands spec.model or spec.source")
        manifest = variant_manifest(name, task.metadata["namespace"], source, spec, base)
        text = f"ModelProfile {name} is being created"
        action = _wait(snapshot, Reason.PROFILING, text, model=name)
        return name, None, replace(action, create_model=manifest)
    if condition_is_true(profile.status.conditions, ConditionType.PROFILED):
        return name, profile, None
    return name, None, _not_profiled(snapshot, name, profile)


def _not_profiled(snapshot: TaskSnapshot, name: str, profile: ModelProfile) -> Action:
    profiled = find_condition(profile.status.conditions, ConditionType.PROFILED)
    if profiled is None:
        text = f"ModelProfile {name} is being read"
        return _wait(snapshot, Reason.PROFILING, text, model=name)
    text = f"ModelProfile {name}: {profiled.message}"
    reason = Reason.parse(profiled.reason, Reason.PROFILING)
    unsupported = condition_is_true(profile.status.conditions, ConditionType.UNSUPPORTED)
    if unsupported and snapshot.task.spec.model_policy is ModelPolicy.FAIL:
        return termination.finish(snapshot, snapshot.task.status, Phase.FAILED, reason, text)
    return _wait(snapshot, reason, text, model=name, warning=True)


def _wait(
    snapshot: TaskSnapshot, reason: Reason, text: str, *, model: str = "", warning: bool = False
) -> Action:
    """Stay Pending until the model can be used; a warning event is sent once per reason."""
    before = find_condition(snapshot.task.status.conditions, ConditionType.PROFILED)
    conditions = with_condition(
        snapshot.task.status.conditions,
        ConditionType.PROFILED,
        False,
        reason,
        text,
        snapshot.now_s,
    )
    status = termination.updated_status(
        snapshot,
        phase=Phase.PENDING,
        message=text,
        conditions=conditions,
        model_profile=model or snapshot.task.spec.model,
    )
    changed = before is None or before.reason != reason
    notices = (Notice(reason, text, warning),) if changed and warning else ()
    return Action(status, notices=notices, requeue_after_s=termination.deadline_left_s(snapshot))


def with_profiled_model(
    snapshot: TaskSnapshot, name: str, profile: ModelProfile
) -> tuple[list[Condition], list[Notice]]:
    """The task's conditions with Profiled True, and an event if it was not True before."""
    before, text = snapshot.task.status.conditions, f"model {name}: {profile.status.text}"
    reported = condition_is_true(before, ConditionType.PROFILED)
    notices = [] if reported else [Notice(Reason.PROFILED, text)]
    conditions = with_condition(
        before, ConditionType.PROFILED, True, Reason.PROFILED, text, snapshot.now_s
    )
    return conditions, notices


# --- the ModelProfile for a task's own batch size and shapes -----------------------------------


def variant_name(spec: InferenceTaskSpec, base: ModelProfile | None) -> str:
    """Name of the profile a task needs: `base` if it has the task's shapes, else a variant.

    Features are read for fixed shapes. A task with another batch size or other shapes than `base`,
    or with a source of its own, gets a profile with its own shapes.
    """
    if base is not None and matches_profile(spec, base.spec):
        return str(base.metadata["name"])
    source = spec.source or (base.spec.source if base else None)
    shapes = json.dumps([spec.batch_size, spec.input_shapes, source and source.uri], sort_keys=True)
    digest = hashlib.sha256(f"{source and source.sha256} {shapes}".encode()).hexdigest()[:10]
    stem = spec.model or "model"
    return f"{stem[:40].rstrip('-.')}-b{spec.batch_size}-{digest}"


def matches_profile(spec: InferenceTaskSpec, profile: ModelProfileSpec) -> bool:
    """Whether a profile was read for a task's batch size and shapes."""
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
    """The ModelProfile to create for a task."""
    shapes = {**(base.spec.input_shapes if base else {}), **spec.input_shapes}
    variant = ModelProfileSpec(source=source, batch_size=spec.batch_size, input_shapes=shapes)
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelProfile",
        "metadata": {"name": name, "namespace": namespace, "labels": {DERIVED_LABEL: "true"}},
        "spec": variant.model_dump(by_alias=True, mode="json", exclude_none=True),
    }


# --- the queue ---------------------------------------------------------------------------------


def enqueue(snapshot: TaskSnapshot, name: str, profile: ModelProfile) -> Action:
    """Create the gated pod once the task is inside the admission window and not backing off."""
    task = snapshot.task
    conditions, notices = with_profiled_model(snapshot, name, profile)
    status = termination.updated_status(snapshot, conditions=conditions, model_profile=name)
    if (refused := over_limit(snapshot, status, profile)) is not None:
        return refused
    if task.spec.suspend:
        status = status.model_copy(update={"phase": Phase.PENDING, "message": SUSPENDED})
        return Action(status, notices=tuple(notices))
    if (due_s := termination.retry_due_s(snapshot)) > snapshot.now_s:
        # A time, not a countdown: every change of the text would be a write and an event.
        text = f"attempt {task.status.attempts + 1} starts at {rfc3339(due_s)}"
        status = status.model_copy(update={"phase": Phase.PENDING, "message": text})
        after_s = due_s - snapshot.now_s
        return Action(status, notices=tuple(notices), requeue_after_s=after_s)
    if task.status.phase is not Phase.QUEUED:
        notices.append(Notice(Reason.QUEUED, f"waits for a device; model {name}"))
    text = waiting_message(snapshot, name, profile)
    status = status.model_copy(update={"phase": Phase.QUEUED, "message": text})
    if not snapshot.may_queue:
        after = termination.deadline_left_s(snapshot)
        return Action(status, notices=tuple(notices), requeue_after_s=after)
    status = _without_rejection(snapshot, status, name, profile)
    source = profile.spec.source
    try:
        pod = render_pod(
            task,
            name,
            source,
            snapshot.image,
            snapshot.cache,
            snapshot.max_task_s,
            snapshot.defaults,
        )
    except InvalidTask as error:
        text = str(error)
        return termination.finish(snapshot, status, Phase.FAILED, Reason.INVALID_POD, text)
    return Action(status, create_pod=pod, notices=tuple(notices))


def over_limit(
    snapshot: TaskSnapshot, status: InferenceTaskStatus, profile: ModelProfile
) -> Action | None:
    """The end of a task that is longer than one may be; None if it is not, or not predictable."""
    spec, limit_s = snapshot.task.spec, snapshot.max_task_s
    latencies_s = [
        latency.fastest_seconds
        for latency in profile.status.latency
        if not spec.runtime or latency.device_class.partition("/")[0] in spec.runtime
    ]
    fastest_s = min(latencies_s, default=0.0)
    if not limit_s or spec.inferences * fastest_s <= limit_s:
        return None
    most = int(limit_s / fastest_s)
    remedy = f"use tasks of at most {most} inferences" if most else "use a smaller model or batch"
    run_s, limit = spec.inferences * fastest_s, duration_text(limit_s)
    text = (
        f"spec.inferences {spec.inferences} is predicted to run for {duration_text(run_s)} on the"
        f" fastest device, longer than the limit of {limit} per task"
        f" (scheduling.settings.maxTaskS); {remedy}"
    )
    return termination.finish(snapshot, status, Phase.FAILED, Reason.LIMIT_EXCEEDED, text)


def refused_by_planner(snapshot: TaskSnapshot, status: InferenceTaskStatus, text: str) -> Action:
    """The end of a task that no device can finish before its deadline or within the limit."""
    limited = LIMIT_TEXT in text
    reason = Reason.LIMIT_EXCEEDED if limited else Reason.DEADLINE_UNREACHABLE
    return termination.finish(snapshot, status, Phase.FAILED, reason, text)


def _without_rejection(
    snapshot: TaskSnapshot, status: InferenceTaskStatus, name: str, profile: ModelProfile
) -> InferenceTaskStatus:
    """The status without an earlier rejection of the pod, which is created again."""
    problem = placement_problem(status)
    if problem is None or problem.reason != Reason.POD_REJECTED:
        return status
    text = unschedulable_reason(snapshot, name, profile) or WAITING
    conditions = [
        condition for condition in status.conditions if condition.type != ConditionType.HEALTHY
    ]
    return status.model_copy(update={"message": text, "conditions": conditions})


def placement_problem(status: InferenceTaskStatus) -> Condition | None:
    """The condition Healthy if it says that the pod was rejected or is unschedulable."""
    healthy = find_condition(status.conditions, ConditionType.HEALTHY)
    if healthy is None or healthy.status == "True":
        return None
    return healthy if healthy.reason in (Reason.POD_REJECTED, Reason.UNSCHEDULABLE) else None


def waiting_message(
    snapshot: TaskSnapshot, name: str, profile: ModelProfile, other_gates: Sequence[str] = ()
) -> str:
    """What a queued task waits for."""
    if other_gates:
        gates = ", ".join(other_gates)
        return f"waits for scheduling gate {gates}, which another controller has to remove"
    problem = placement_problem(snapshot.task.status)
    return problem.message if problem else unschedulable_reason(snapshot, name, profile) or WAITING


# --- whether any device can take the task ------------------------------------------------------


def unschedulable_reason(snapshot: TaskSnapshot, name: str, profile: ModelProfile) -> str | None:
    """Why no device can take the task; None if some device may still become feasible."""
    features = convert.model_features(profile)
    memory_bytes = features.peak_memory_bytes if features else 0
    task = convert.to_task(snapshot.task, name, memory_bytes)
    demand = (task.providers, task.pod_rules, task.memory_bytes)
    cached_s, reason = snapshot.unschedulable.get(demand, (-inf, None))
    if not 0.0 <= snapshot.now_s - cached_s < UNSCHEDULABLE_TTL_S:
        nodes = snapshot.nodes or {}
        devices = [
            convert.to_device(profile, schedulable=True)
            for profile in snapshot.devices.values()
            if profile.spec.node in nodes
        ]
        reason = infeasible_everywhere(task, devices, snapshot.node_rules(), snapshot.volumes)
        if len(snapshot.unschedulable) >= MAX_CACHED_DEMANDS:
            snapshot.unschedulable.clear()
        snapshot.unschedulable[demand] = snapshot.now_s, reason
    return reason
