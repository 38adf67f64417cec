"""What is wrong with a pod: a problem while it lives, or why its attempt failed.

Failures of the application cost a retry, since the next attempt may end the same way. Failures of
the cluster (a lost node, an eviction, a preemption) cost none, up to a limit. Final failures are
not retried, since the next attempt would certainly fail as well. See `docs/reference/endings.md`.

The task's condition `Healthy` records since when a problem exists, so that it survives a restart
of the operator.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from acesniper.api.messages import terminated_state
from acesniper.api.objects import PodView
from acesniper.api.reasons import ConditionType, Reason
from acesniper.api.units import epoch_s, parse_quantity
from acesniper.api.v1alpha1 import InferenceTaskSpec, find_condition
from acesniper.operator.task.snapshot import TaskSnapshot

Manifest = Mapping[str, Any]

NODE_GONE_S = 10.0
"""How long a node may be missing from the API server before its pods are given up: a kubelet that
registers again at once keeps its pods."""
NODE_SILENT_S = 10.0
"""How long to wait for a NotReady node to stop a pod whose grace period is over."""
IMAGE_PULL_ERRORS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ImageInspectError",
    "ErrImageNeverPull",
}
START_ERRORS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
MAX_OUTPUT_CHARS = 500
"""Characters of a container's last output that are shown; enough for the end of a traceback."""
RUNNER_INPUT_EXIT = 2
"""Exit code of the runner if its model or input can never be used."""
RUNNER_REASON = re.compile(r"^error \((\w+)\):", re.MULTILINE)
"""How the runner reports the reason."""
REASON_BY_DISRUPTION = {
    "PreemptionByScheduler": Reason.PREEMPTED,
    "DeletionByTaintManager": Reason.NODE_TAINTED,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "DeletionByPodGC": Reason.NODE_LOST,
    "TerminationByKubelet": Reason.EVICTED,
}
"""By the reason of a pod's condition DisruptionTarget."""
REASON_BY_POD_STATUS = {
    "Evicted": Reason.EVICTED,
    "NodeLost": Reason.NODE_LOST,
    "Preempting": Reason.PREEMPTED,
    "Terminated": Reason.NODE_SHUTDOWN,
    "NodeShutdown": Reason.NODE_SHUTDOWN,
    "Shutdown": Reason.NODE_SHUTDOWN,
    "NodeAffinity": Reason.REJECTED_BY_NODE,
    "UnexpectedAdmissionError": Reason.REJECTED_BY_NODE,
    "TopologyAffinityError": Reason.REJECTED_BY_NODE,
}
"""By a pod's status.reason, if its node ended or did not admit it."""


class Fault(Enum):
    """Cause of a failure, which decides about another attempt."""

    APPLICATION = auto()
    CLUSTER = auto()
    FINAL = auto()
    """The application, and the next attempt would certainly fail as well."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt.

    `needs_memory_bytes` is the least memory that the model needs, if the pod ran out of memory.
    """

    reason: Reason
    message: str
    fault: Fault = Fault.APPLICATION
    needs_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PodProblem:
    """A problem of a pod that has not ended.

    After `limit_s` the attempt has failed; with None the problem is only reported. With
    `node_lost`, no kubelet can stop the pod, and it has to be deleted by force.
    """

    failure: Failure
    limit_s: float | None = None
    node_lost: bool = False

    def due_s(self, snapshot: TaskSnapshot, pod: PodView, manifest: Manifest) -> float | None:
        """When the attempt is given up, in seconds since the epoch; None for never."""
        if self.limit_s is None:
            return None
        due_s = problem_since_s(snapshot, self.failure.reason) + self.limit_s
        ends = manifest["metadata"].get("deletionTimestamp") if pod.deleting else None
        return max(due_s, epoch_s(ends)) if ends else due_s


# --- pods that have not ended ------------------------------------------------------------------


def scheduling_failure(manifest: Manifest) -> str | None:
    """Why kube-scheduler cannot place the pod; None if it reported nothing."""
    for condition in manifest.get("status", {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return str(condition.get("message") or "no message given")
    return None


def problem_since_s(snapshot: TaskSnapshot, reason: Reason) -> float:
    """Since when the task has had this problem, in seconds since the epoch; now if it is new."""
    healthy = find_condition(snapshot.task.status.conditions, ConditionType.HEALTHY)
    if healthy is None or healthy.status == "True" or healthy.reason != reason:
        return snapshot.now_s
    return epoch_s(healthy.last_transition_time)


def pod_problem(snapshot: TaskSnapshot, pod: PodView, manifest: Manifest) -> PodProblem | None:
    """The problem of a pod that is bound and has not ended; None if it is healthy."""
    if snapshot.nodes is not None and pod.node not in snapshot.nodes:
        text = f"pod {pod.name}: node {pod.node} is gone"
        return PodProblem(_cluster_failure(Reason.NODE_LOST, text), NODE_GONE_S, node_lost=True)
    not_ready = snapshot.nodes is not None and not _is_ready(snapshot.nodes[str(pod.node)])
    if not_ready and pod.deleting:
        text = f"pod {pod.name}: node {pod.node} is NotReady and cannot terminate the pod"
        return PodProblem(_cluster_failure(Reason.NODE_LOST, text), NODE_SILENT_S, node_lost=True)
    if (disrupted := disruption(manifest)) is not None:
        reason, message = disrupted
        # The taint of a NotReady node means nothing else.
        if not_ready and reason is Reason.NODE_TAINTED:
            reason = Reason.NODE_LOST
        return PodProblem(_cluster_failure(reason, f"pod {pod.name}: {message}"))
    if not_ready:
        # The pod's tolerations decide how long it stays.
        text = f"node {pod.node} is NotReady"
        return PodProblem(_cluster_failure(Reason.NODE_NOT_READY, text))
    return _start_problem(snapshot, pod, manifest) if not pod.deleting else None


def _cluster_failure(reason: Reason, message: str) -> Failure:
    return Failure(reason, message, Fault.CLUSTER)


def _is_ready(node: Manifest) -> bool:
    """Whether a node is Ready; a node without that condition is new and counts as Ready."""
    conditions = node.get("status", {}).get("conditions") or ()
    ready = [condition["status"] for condition in conditions if condition["type"] == "Ready"]
    return not ready or ready[0] == "True"


def _start_problem(snapshot: TaskSnapshot, pod: PodView, manifest: Manifest) -> PodProblem | None:
    for image, reason, message in _waiting_containers(manifest):
        text = f"pod {pod.name}: {reason}: {message or 'no reason given'}"
        if reason == "InvalidImageName":
            return PodProblem(Failure(Reason.INVALID_IMAGE_NAME, text, Fault.FINAL), 0.0)
        if reason in IMAGE_PULL_ERRORS:
            text = f"pod {pod.name}: image {image} cannot be pulled: {message or reason}"
            failure = Failure(Reason.IMAGE_PULL_FAILED, text)
            return PodProblem(failure, snapshot.start_patience_s)
        if reason in START_ERRORS:
            failure = Failure(Reason.CONTAINER_NOT_STARTED, text)
            return PodProblem(failure, snapshot.start_patience_s)
    return None


def _waiting_containers(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """(image, reason, message) of each container in state waiting."""
    status = manifest.get("status", {})
    for field in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(field) or ():
            state = (container.get("state") or {}).get("waiting")
            if state:
                image = container.get("image", "")
                yield image, state.get("reason", ""), state.get("message", "")


# --- pods that have failed ---------------------------------------------------------------------


def attempt_failure(pod: Manifest, spec: InferenceTaskSpec, device_bytes: int | None) -> Failure:
    """Why a pod failed; `device_bytes` is the memory of its device, if known."""
    name, output = pod["metadata"]["name"], failure_message(pod)
    if (disrupted := disruption(pod)) is not None:
        reason, message = disrupted
        return _cluster_failure(reason, f"pod {name}: {message}")
    if pod.get("status", {}).get("reason") == "DeadlineExceeded":
        limit_s = pod.get("spec", {}).get("activeDeadlineSeconds")
        text = f"pod {name}: ran longer than its limit of {limit_s} s (activeDeadlineSeconds)"
        return Failure(Reason.RUN_TIME_EXCEEDED, text, Fault.FINAL)
    if (container := _oom_killed_container(pod)) is not None:
        return _out_of_memory(pod, container, device_bytes)
    code = terminated_state(pod).get("exitCode")
    if code in spec.permanent_exit_codes:
        return Failure(Reason.PERMANENT_EXIT_CODE, f"pod {name}: {output}", Fault.FINAL)
    if code == RUNNER_INPUT_EXIT and not spec.template:
        return Failure(_runner_reason(pod), f"pod {name}: {output}", Fault.FINAL)
    return Failure(Reason.ATTEMPT_FAILED, f"pod {name}: {output}")


def disruption(pod: Manifest) -> tuple[Reason, str] | None:
    """(reason, message) if the cluster ends or has ended a pod."""
    status = pod.get("status", {})
    for condition in status.get("conditions") or ():
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            cause = condition.get("reason", "")
            reason = REASON_BY_DISRUPTION.get(cause, Reason.EVICTED)
            return reason, str(condition.get("message") or condition.get("reason"))
    cause = str(status.get("reason") or "")
    by_status = REASON_BY_POD_STATUS.get(cause)
    if by_status is None and cause.startswith("OutOf"):
        by_status = Reason.REJECTED_BY_NODE
    if status.get("phase") == "Failed" and by_status is not None:
        return by_status, str(status.get("message") or cause)
    return None


def failure_message(pod: Manifest) -> str:
    """Why a pod failed: its container's last output, or the pod's own status."""
    state = terminated_state(pod)
    status = pod.get("status", {})
    code = state.get("exitCode")
    message = state.get("message") or status.get("message") or ""
    output = str(message).strip()[-MAX_OUTPUT_CHARS:]
    reason = state.get("reason") or status.get("reason") or "Failed"
    summary = f"{reason}, exit code {code}" if code is not None else str(reason)
    return f"{summary}: {output}" if output else summary


def _runner_reason(pod: Manifest) -> Reason:
    match = RUNNER_REASON.search(str(terminated_state(pod).get("message", "")))
    reason = Reason.of_model(match[1] if match else "", Reason.INVALID_INPUT)
    # The digest matched when the operator read the file, so the file was replaced since.
    return Reason.MODEL_CHANGED if reason is Reason.DIGEST_MISMATCH else reason


def _oom_killed_container(pod: Manifest) -> Manifest | None:
    """The container of the pod's spec that was OOM-killed."""
    killed = {
        name for name, state in _terminated_containers(pod) if state.get("reason") == "OOMKilled"
    }
    containers = pod["spec"].get("containers") or ()
    return next((container for container in containers if container.get("name") in killed), None)


def _terminated_containers(pod: Manifest) -> Iterator[tuple[str, Manifest]]:
    for container in pod.get("status", {}).get("containerStatuses") or ():
        yield str(container.get("name")), (container.get("state") or {}).get("terminated") or {}


def _out_of_memory(pod: Manifest, container: Manifest, device_bytes: int | None) -> Failure:
    """The failure of an OOM-killed container: at its limit, or for lack of device memory."""
    text = f"pod {pod['metadata']['name']}: out of memory (OOM-killed)"
    limits = (container.get("resources") or {}).get("limits") or {}
    limit_bytes = parse_quantity(limits.get("memory"))
    if limit_bytes is not None and limit_bytes < (device_bytes or limit_bytes + 1):
        text += f" at its limit of {limits['memory']}; raise spec.resources.limits.memory"
        return Failure(Reason.OUT_OF_MEMORY, text, needs_memory_bytes=limit_bytes + 1)
    if not device_bytes:
        return Failure(Reason.OUT_OF_MEMORY, text)
    text += f" on a device with {device_bytes / 2**20:.0f} MiB"
    return Failure(Reason.OUT_OF_MEMORY, text, needs_memory_bytes=device_bytes + 1)
