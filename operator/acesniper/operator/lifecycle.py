"""The life of a task, by level: from whatever is found in the cluster to the next step.

One pure function, called for every event, on resync and after a restart alike. It looks at states,
never at what changed, so that being called twice, late or out of order does no harm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from acesniper.api import report
from acesniper.api.conditions import find, is_true, with_condition
from acesniper.api.decision import Decision
from acesniper.api.pod import PodView
from acesniper.api.schema import duration_s
from acesniper.api.times import epoch_s, rfc3339
from acesniper.api.v1alpha1 import (
    FINISHED,
    DeadlinePolicy,
    InferenceTask,
    InferenceTaskStatus,
    ModelPolicy,
    ModelProfile,
    Phase,
)
from acesniper.domain.errors import InvalidTask
from acesniper.operator.mounts import NodeCache
from acesniper.operator.outcome import failure_message, observation, prediction
from acesniper.operator.progress import task_progress
from acesniper.operator.render import pod_name, render_pod
from acesniper.operator.step import Step
from acesniper.operator.variant import variant_manifest, variant_name
from acesniper.runtime.events import Notice

FIRST_BACKOFF_S = 5.0
LAST_BACKOFF_S = 300.0


@dataclass(frozen=True, slots=True)
class Sight:
    """All that is known of a task at `now_s`.

    `pods` are the pods it owns, by name, as (view, object). `models` finds a ModelProfile of its
    namespace. `may_queue` says that its turn is near enough for a gated pod.
    """

    task: InferenceTask
    pods: Mapping[str, tuple[PodView, Mapping[str, Any]]]
    models: Mapping[str, ModelProfile]
    may_queue: bool
    now_s: float
    image: str
    cache: NodeCache | None = None


def next_step(sight: Sight) -> Step:
    """What to do about a task now."""
    task = sight.task
    if task.status.phase in FINISHED:
        return _after_the_end(sight)
    pod = sight.pods.get(pod_name(task))
    if pod is not None:
        return _follow(sight, *pod)
    if task.status.pod_uid is not None:
        return _vanished(sight)
    if (late := _too_late(sight)) is not None:
        return late
    name, profile, blocked = _model(sight)
    if blocked is not None:
        return blocked
    if profile is None:
        raise AssertionError("a model that is not blocked has a profile")
    return _queue(sight, name, profile)


# --- before there is a pod ---------------------------------------------------------------------


def _model(sight: Sight) -> tuple[str, ModelProfile | None, Step | None]:
    """The profile the task needs, or the step to take while it cannot be used."""
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
    if is_true(profile.status.conditions, "Profiled"):
        return name, profile, None
    return name, None, _unprofiled(sight, name, profile)


def _unprofiled(sight: Sight, name: str, profile: ModelProfile) -> Step:
    found = find(profile.status.conditions, "Profiled")
    if found is None:
        return _wait(sight, "Profiling", f"ModelProfile {name} is being read", model=name)
    text = f"ModelProfile {name}: {found.message}"
    unsupported = is_true(profile.status.conditions, "Unsupported")
    if unsupported and sight.task.spec.model_policy is ModelPolicy.FAIL:
        return _end(sight, sight.task.status, Phase.FAILED, found.reason, text)
    return _wait(sight, found.reason, text, model=name, warning=True)


def _wait(sight: Sight, reason: str, text: str, *, model: str = "", warning: bool = False) -> Step:
    before = find(sight.task.status.conditions, "Profiled")
    conditions = with_condition(
        sight.task.status.conditions, "Profiled", False, reason, text, sight.now_s
    )
    status = _status(
        sight,
        phase=Phase.PENDING,
        message=text,
        conditions=conditions,
        model_profile=model or sight.task.spec.model,
    )
    news = before is None or before.reason != reason
    notices = (Notice(reason, text, warning),) if news and warning else ()
    return Step(status, notices=notices, look_again_s=_until_deadline(sight))


def _queue(sight: Sight, name: str, profile: ModelProfile) -> Step:
    """The model is known: make the gated pod when its turn is near."""
    task = sight.task
    text = f"model {name}: {profile.status.text}"
    notices: list[Notice] = []
    if not is_true(task.status.conditions, "Profiled"):
        notices.append(Notice("Profiled", text))
    conditions = with_condition(
        task.status.conditions, "Profiled", True, "Profiled", text, sight.now_s
    )
    status = _status(sight, conditions=conditions, model_profile=name)
    if task.spec.suspend:
        text = "suspended; set spec.suspend to false to go on"
        status = status.model_copy(update={"phase": Phase.PENDING, "message": text})
        return Step(status, notices=tuple(notices))
    if (due_s := _retry_due_s(sight)) > sight.now_s:
        # A point in time, not a countdown: every new text is a write, an event and a new look.
        text = f"attempt {task.status.attempts + 1} starts at {rfc3339(due_s)}"
        status = status.model_copy(update={"phase": Phase.PENDING, "message": text})
        return Step(status, notices=tuple(notices), look_again_s=due_s - sight.now_s)
    if task.status.phase is not Phase.QUEUED:
        notices.append(Notice("Queued", f"waits for a device; model {name}"))
    status = status.model_copy(update={"phase": Phase.QUEUED, "message": "waits for a device"})
    if not sight.may_queue:
        return Step(status, notices=tuple(notices), look_again_s=_until_deadline(sight))
    try:
        pod = render_pod(task, name, profile.spec.source, sight.image, sight.cache)
    except InvalidTask as error:
        return _end(sight, status, Phase.FAILED, "InvalidPod", str(error))
    return Step(status, create_pod=pod, notices=tuple(notices))


def _retry_due_s(sight: Sight) -> float:
    """When the next attempt may start; the pause doubles with every failed attempt."""
    attempts = sight.task.status.attempts
    retried = find(sight.task.status.conditions, "Retrying")
    if not attempts or retried is None:
        return 0.0
    pause_s = min(FIRST_BACKOFF_S * 2.0 ** (attempts - 1), LAST_BACKOFF_S)
    return epoch_s(retried.last_transition_time) + pause_s


# --- while there is a pod ----------------------------------------------------------------------


def _follow(sight: Sight, pod: PodView, manifest: Mapping[str, Any]) -> Step:
    """The pod of the current attempt exists: the task's state is the pod's."""
    seen: dict[str, Any] = {"pod": pod.name, "pod_uid": pod.uid, "model_profile": pod.model}
    if pod.phase == "Succeeded":
        return _succeeded(sight, _status(sight, **seen), pod, manifest)
    if pod.phase == "Failed":
        return _failed(sight, pod, failure_message(manifest))
    if pod.deleting:
        return Step(_status(sight, **seen), look_again_s=5.0)
    if pod.gated:
        waits = {"phase": Phase.QUEUED, "message": "waits for a device"}
        return _gated(sight, pod, _status(sight, **seen, **waits))
    if pod.node is None:
        # Bound within milliseconds as a rule: not worth a write of its own.
        return Step(_status(sight, **seen))
    return _placed(sight, pod, seen)


def _gated(sight: Sight, pod: PodView, status: InferenceTaskStatus) -> Step:
    if sight.task.spec.suspend:
        text = "suspended; set spec.suspend to false to go on"
        held = next_incarnation(status).model_copy(update={"phase": Phase.PENDING, "message": text})
        return Step(held, delete_pod=pod)
    if (late := _too_late(sight)) is not None:
        return replace(late, delete_pod=pod)
    if pod.refused is not None:
        end = _end(sight, status, Phase.FAILED, "DeadlineUnreachable", pod.refused)
        return replace(end, delete_pod=pod)
    return Step(status, look_again_s=_until_deadline(sight))


def _placed(sight: Sight, pod: PodView, seen: dict[str, Any]) -> Step:
    status = _status(sight, **seen)
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
            status.conditions, "Placed", True, "Placed", reason, sight.now_s
        ),
    }
    if decision is not None:
        created_s = epoch_s(sight.task.metadata["creationTimestamp"])
        update["predicted"] = prediction(decision, created_s)
        update["decision"] = decision.record()
    notices = () if status.node == pod.node else (Notice("Placed", f"on {reason}"),)
    return Step(status.model_copy(update=update), notices=notices)


def _vanished(sight: Sight) -> Step:
    """The pod is gone: lost while it ran costs an attempt, withdrawn before does not."""
    status = sight.task.status
    gone = status.pod
    if status.phase in (Phase.RUNNING, Phase.SCHEDULED):
        step = _again(sight, f"pod {gone} disappeared from node {status.node}", "PodLost")
        return replace(step, confirm_gone=gone)
    revised = next_incarnation(status).model_copy(update={"message": "its turn was revised"})
    return Step(revised, confirm_gone=gone, look_again_s=0.0)


def next_incarnation(status: InferenceTaskStatus) -> InferenceTaskStatus:
    """The status of an attempt that needs another pod, and has lost nothing but that."""
    update = {"incarnation": status.incarnation + 1, "pod": None, "pod_uid": None}
    return status.model_copy(update=update)


# --- ends --------------------------------------------------------------------------------------


def _succeeded(
    sight: Sight, status: InferenceTaskStatus, pod: PodView, manifest: Mapping[str, Any]
) -> Step:
    placed = _placed(sight, pod, {"pod": pod.name, "pod_uid": pod.uid})
    found = report.parse(str(report.terminated(manifest).get("message", "")))
    created_s = epoch_s(sight.task.metadata["creationTimestamp"])
    observed, text = observation(found, manifest, created_s, sight.now_s)
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
    status = placed.status.model_copy(update=update)
    end = _end(sight, status, Phase.SUCCEEDED, "Succeeded", text)
    return replace(end, notices=(*placed.notices, *end.notices))


def refused(sight: Sight, why: str) -> Step:
    """The end of a task whose pod the API server does not accept."""
    text = f"the API server refuses the pod; mend spec.template: {why}"
    return _end(sight, sight.task.status, Phase.FAILED, "InvalidPod", text)


def _failed(sight: Sight, pod: PodView, why: str) -> Step:
    return _again(sight, f"pod {pod.name}: {why}", "AttemptFailed")


def _again(sight: Sight, why: str, reason: str) -> Step:
    """Count a failed attempt; try again if one is left."""
    status = sight.task.status
    attempts = status.attempts + 1
    update: dict[str, Any] = {"attempts": attempts, "incarnation": 0, "pod": None, "pod_uid": None}
    status = status.model_copy(update=update | {"node": None, "device": None, "progress": None})
    if attempts > sight.task.spec.retries:
        return _end(sight, status, Phase.FAILED, reason, f"{why}; no retry is left")
    others = [each for each in status.conditions if each.type != "Retrying"]
    conditions = with_condition(others, "Retrying", True, reason, why, sight.now_s)
    text = f"{why}; retry {attempts} of {sight.task.spec.retries}"
    status = status.model_copy(
        update={"phase": Phase.PENDING, "message": text, "conditions": conditions}
    )
    return Step(status, notices=(Notice(reason, text, warning=True),), look_again_s=0.0)


def _end(sight: Sight, status: InferenceTaskStatus, phase: Phase, reason: str, text: str) -> Step:
    conditions = with_condition(status.conditions, "Finished", True, reason, text, sight.now_s)
    failed = phase is Phase.FAILED
    update: dict[str, Any] = {"phase": phase, "message": text, "conditions": conditions}
    update["observed_generation"] = sight.task.metadata.get("generation")
    ended = Notice(reason if failed else "Finished", text, warning=failed)
    return Step(status.model_copy(update=update), notices=(ended,), look_again_s=_ttl_s(sight))


def _after_the_end(sight: Sight) -> Step:
    """Nothing of a finished task waits or runs; after its time to live it goes."""
    finished = find(sight.task.status.conditions, "Finished")
    left = next(
        (pod for pod, _ in sight.pods.values() if not pod.finished and not pod.deleting), None
    )
    ttl_s = _ttl_s(sight)
    if finished is None or ttl_s is None:
        return Step(sight.task.status, delete_pod=left)
    due_s = epoch_s(finished.last_transition_time) + ttl_s - sight.now_s
    if due_s <= 0:
        return Step(sight.task.status, delete_pod=left, delete_task=True)
    return Step(sight.task.status, delete_pod=left, look_again_s=due_s)


def _ttl_s(sight: Sight) -> float | None:
    ttl = sight.task.spec.ttl_after_finished
    return duration_s(ttl) if ttl else None


def _too_late(sight: Sight) -> Step | None:
    """The end of a task that rejects being late, once it is."""
    left_s = _until_deadline(sight)
    if left_s is None or left_s > 0:
        return None
    text = f"spec.deadline {sight.task.spec.deadline} has passed before it could start"
    return _end(sight, sight.task.status, Phase.FAILED, "DeadlineExceeded", text)


def _until_deadline(sight: Sight) -> float | None:
    spec = sight.task.spec
    if spec.deadline is None or spec.deadline_policy is not DeadlinePolicy.REJECT:
        return None
    created_s = epoch_s(sight.task.metadata["creationTimestamp"])
    return created_s + duration_s(spec.deadline) - sight.now_s


def _status(sight: Sight, **update: Any) -> InferenceTaskStatus:  # noqa: ANN401 - any field
    generation = sight.task.metadata.get("generation")
    return sight.task.status.model_copy(update={"observed_generation": generation, **update})
