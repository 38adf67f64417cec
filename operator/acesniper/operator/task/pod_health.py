"""What keeps a pod on a node from its work, seen from outside, and how long that is put up with.

The condition `Healthy` of the task remembers since when: nothing else has to, over a restart.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from acesniper.api.conditions import find_condition
from acesniper.api.messages import terminated_state
from acesniper.api.objects import PodView
from acesniper.api.reasons import ConditionType, Reason
from acesniper.api.units import epoch_s, parse_quantity
from acesniper.api.v1alpha1 import InferenceTaskSpec
from acesniper.operator.task.snapshot import TaskSnapshot

LONGEST_MESSAGE = 500
"""Characters of a container's last words that are shown; enough for the error under a traceback."""
RUNNER_INPUT_EXIT = 2
"""Our runner ends with it when its model or input cannot be used, now or later."""
RUNNER_REASON = re.compile(r"^error \((\w+)\):", re.MULTILINE)
"""How our runner says why."""
BY_CONDITION = {
    "PreemptionByScheduler": Reason.PREEMPTED,
    "DeletionByTaintManager": Reason.NODE_TAINTED,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "DeletionByPodGC": Reason.NODE_LOST,
    "TerminationByKubelet": Reason.EVICTED,
}
"""Our word for the reason of a pod's condition DisruptionTarget."""
BY_STATUS = {
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
"""Our word for a pod's status.reason, where its node ended it or never took it."""


class Fault(Enum):
    """Whose fault a failure was."""

    APPLICATION = auto()
    CLUSTER = auto()
    FINAL = auto()
    """The application's, and the next attempt would certainly fail as well."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed.

    `needs_memory_bytes` is what the model needs at least, if want of it is why.
    """

    reason: Reason
    message: str
    fault: Fault = Fault.APPLICATION
    needs_memory_bytes: int | None = None


def disruption(pod: Mapping[str, Any]) -> tuple[Reason, str] | None:
    """(reason, message) where the cluster ends or has ended a pod."""
    status = pod.get("status", {})
    for each in status.get("conditions") or ():
        if each["type"] == "DisruptionTarget" and each["status"] == "True":
            known = BY_CONDITION.get(each.get("reason", ""), Reason.EVICTED)
            return known, str(each.get("message") or each.get("reason"))
    reason = str(status.get("reason") or "")
    known_status = BY_STATUS.get(reason) or (
        Reason.REJECTED_BY_NODE if reason.startswith("OutOf") else None
    )
    if status.get("phase") == "Failed" and known_status is not None:
        return known_status, str(status.get("message") or reason)
    return None


def attempt_failure(
    pod: Mapping[str, Any], spec: InferenceTaskSpec, device_bytes: int | None
) -> Failure:
    """Why a pod that has failed did so. `device_bytes` is the memory of its device, if known."""
    name, words = pod["metadata"]["name"], failure_message(pod)
    if (by_cluster := disruption(pod)) is not None:
        reason, message = by_cluster
        return Failure(reason, f"pod {name}: {message}", Fault.CLUSTER)
    if (killed := _killed_for_memory(pod)) is not None:
        return _out_of_memory(pod, killed, device_bytes)
    code = terminated_state(pod).get("exitCode")
    if code in spec.permanent_exit_codes:
        return Failure(Reason.PERMANENT_EXIT_CODE, f"pod {name}: {words}", Fault.FINAL)
    if code == RUNNER_INPUT_EXIT and not spec.template:
        return Failure(_runner_reason(pod), f"pod {name}: {words}", Fault.FINAL)
    return Failure(Reason.ATTEMPT_FAILED, f"pod {name}: {words}")


def _runner_reason(pod: Mapping[str, Any]) -> Reason:
    found = RUNNER_REASON.search(str(terminated_state(pod).get("message", "")))
    reason = Reason.of_model(found[1] if found else "", Reason.INVALID_INPUT)
    # It was right when the operator read it: somebody put another file there.
    return Reason.MODEL_CHANGED if reason is Reason.DIGEST_MISMATCH else reason


def _killed_for_memory(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The container of the pod's spec that was killed for want of memory."""
    killed = {name for name, state in _ended(pod) if state.get("reason") == "OOMKilled"}
    containers = pod["spec"].get("containers") or ()
    return next((each for each in containers if each.get("name") in killed), None)


def _ended(pod: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for each in pod.get("status", {}).get("containerStatuses") or ():
        yield str(each.get("name")), (each.get("state") or {}).get("terminated") or {}


def _out_of_memory(
    pod: Mapping[str, Any], container: Mapping[str, Any], device_bytes: int | None
) -> Failure:
    name = pod["metadata"]["name"]
    limits = (container.get("resources") or {}).get("limits") or {}
    limit_bytes = parse_quantity(limits.get("memory"))
    text = f"pod {name}: killed for want of memory"
    if limit_bytes is not None and limit_bytes < (device_bytes or limit_bytes + 1):
        text += f", by its limit of {limits['memory']}; raise spec.resources.limits.memory"
        return Failure(Reason.OUT_OF_MEMORY, text, needs_memory_bytes=limit_bytes + 1)
    if not device_bytes:
        return Failure(Reason.OUT_OF_MEMORY, text)
    text += f" on a device with {device_bytes / 2**20:.0f} MiB"
    return Failure(Reason.OUT_OF_MEMORY, text, needs_memory_bytes=device_bytes + 1)


def failure_message(pod: Mapping[str, Any]) -> str:
    """Why a pod failed, from its container's last words or its own status."""
    state = terminated_state(pod)
    status = pod.get("status", {})
    code = state.get("exitCode")
    words = str(state.get("message") or status.get("message") or "").strip()[-LONGEST_MESSAGE:]
    reason = state.get("reason") or status.get("reason") or "Failed"
    shown = f"{reason}, exit code {code}" if code is not None else str(reason)
    return f"{shown}: {words}" if words else shown


NODE_GONE_S = 10.0
"""How long a node may be gone from the API server before its pods are given up: one that is made
anew at once, by a kubelet that registers again, keeps them."""
NODE_SILENT_S = 10.0
"""How long a pod that its node should have stopped by now is waited for while the node is not
ready: nobody is there to stop it."""
IMAGE = {"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "ErrImageNeverPull"}
NEVER = {"InvalidImageName"}
NOT_STARTED = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


@dataclass(frozen=True, slots=True)
class PodProblem:
    """Something is wrong with a pod that lives.

    After `limit_s` its attempt has failed; None: it is only waited for. `unstoppable`: nobody is
    there to stop it, it has to be deleted by force.
    """

    failure: Failure
    limit_s: float | None = None
    unstoppable: bool = False

    def due_s(self, sight: TaskSnapshot, pod: PodView, manifest: Mapping[str, Any]) -> float | None:
        """When its attempt is given up, in seconds since the epoch; None: not at all."""
        if self.limit_s is None:
            return None
        due_s = problem_since_s(sight, self.failure.reason) + self.limit_s
        ends = manifest["metadata"].get("deletionTimestamp") if pod.deleting else None
        return max(due_s, epoch_s(ends)) if ends else due_s


def scheduling_failure(manifest: Mapping[str, Any]) -> str | None:
    """Why kube-scheduler finds no room for a pod that may be bound, where it has said so."""
    for each in manifest.get("status", {}).get("conditions") or ():
        if each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable":
            return str(each.get("message") or "it does not say why")
    return None


def problem_since_s(sight: TaskSnapshot, reason: Reason) -> float:
    """Since when the task has known this trouble; now, if it did not."""
    found = find_condition(sight.task.status.conditions, ConditionType.HEALTHY)
    if found is None or found.status == "True" or found.reason != reason:
        return sight.now_s
    return epoch_s(found.last_transition_time)


def pod_problem(
    sight: TaskSnapshot, pod: PodView, manifest: Mapping[str, Any]
) -> PodProblem | None:
    """What is wrong with a pod that is on a node and has not ended."""
    gone = sight.nodes is not None and pod.node not in sight.nodes
    if gone:
        text = f"pod {pod.name}: node {pod.node} is gone"
        return PodProblem(_cluster(Reason.NODE_LOST, text), NODE_GONE_S, unstoppable=True)
    silent = sight.nodes is not None and not _ready(sight.nodes[str(pod.node)])
    if silent and pod.deleting:
        text = f"pod {pod.name}: node {pod.node} is not ready and was to stop it"
        return PodProblem(_cluster(Reason.NODE_LOST, text), NODE_SILENT_S, unstoppable=True)
    if (found := disruption(manifest)) is not None:
        # The taint of a node that is not ready says no more than that.
        reason = Reason.NODE_LOST if silent and found[0] is Reason.NODE_TAINTED else found[0]
        return PodProblem(_cluster(reason, f"pod {pod.name}: {found[1]}"))
    if silent:
        # Its taint decides how long the pod is left there: see the pod's tolerations.
        return PodProblem(_cluster(Reason.NODE_NOT_READY, f"node {pod.node} is not ready"))
    return _not_starting(sight, pod, manifest) if not pod.deleting else None


def _cluster(reason: Reason, message: str) -> Failure:
    return Failure(reason, message, Fault.CLUSTER)


def _ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    found = [each["status"] for each in conditions if each["type"] == "Ready"]
    # A node that says nothing yet is new.
    return not found or found[0] == "True"


def _not_starting(
    sight: TaskSnapshot, pod: PodView, manifest: Mapping[str, Any]
) -> PodProblem | None:
    for image, reason, message in _waiting(manifest):
        text = f"pod {pod.name}: {reason}: {message or 'no reason given'}"
        if reason in NEVER:
            return PodProblem(Failure(Reason.INVALID_IMAGE_NAME, text, Fault.FINAL), 0.0)
        if reason in IMAGE:
            text = f"pod {pod.name}: image {image} cannot be pulled: {message or reason}"
            return PodProblem(Failure(Reason.IMAGE_PULL_FAILED, text), sight.start_patience_s)
        if reason in NOT_STARTED:
            return PodProblem(Failure(Reason.CONTAINER_NOT_STARTED, text), sight.start_patience_s)
    return None


def _waiting(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(image, reason, message) of each container that waits to be started."""
    status = manifest.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(kind) or ():
            waits = (each.get("state") or {}).get("waiting")
            if waits:
                yield each.get("image", ""), waits.get("reason", ""), waits.get("message", "")
