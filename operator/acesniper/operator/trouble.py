"""What keeps a pod on a node from its work, seen from outside, and how long that is put up with.

The condition `Healthy` of the task remembers since when: nothing else has to, over a restart.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from acesniper.api.conditions import find_condition
from acesniper.api.objects import PodView
from acesniper.api.units import epoch_s
from acesniper.operator.task.pod_health import Failure, Fault, disruption
from acesniper.operator.task.snapshot import TaskSnapshot

Json = Mapping[str, Any]

HEALTHY = "Healthy"
NOT_PLACED = "NotPlaced"
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

    def due_s(self, sight: TaskSnapshot, pod: PodView, manifest: Json) -> float | None:
        """When its attempt is given up, in seconds since the epoch; None: not at all."""
        if self.limit_s is None:
            return None
        due_s = problem_since_s(sight, self.failure.reason) + self.limit_s
        ends = manifest["metadata"].get("deletionTimestamp") if pod.deleting else None
        return max(due_s, epoch_s(ends)) if ends else due_s


def scheduling_failure(manifest: Json) -> str | None:
    """Why kube-scheduler finds no room for a pod that may be bound, where it has said so."""
    for each in manifest.get("status", {}).get("conditions") or ():
        if each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable":
            return str(each.get("message") or "it does not say why")
    return None


def problem_since_s(sight: TaskSnapshot, reason: str) -> float:
    """Since when the task has known this trouble; now, if it did not."""
    found = find_condition(sight.task.status.conditions, HEALTHY)
    if found is None or found.status == "True" or found.reason != reason:
        return sight.now_s
    return epoch_s(found.last_transition_time)


def pod_problem(sight: TaskSnapshot, pod: PodView, manifest: Json) -> PodProblem | None:
    """What is wrong with a pod that is on a node and has not ended."""
    gone = sight.nodes is not None and pod.node not in sight.nodes
    if gone:
        text = f"pod {pod.name}: node {pod.node} is gone"
        return PodProblem(_cluster("NodeLost", text), NODE_GONE_S, unstoppable=True)
    silent = sight.nodes is not None and not _ready(sight.nodes[str(pod.node)])
    if silent and pod.deleting:
        text = f"pod {pod.name}: node {pod.node} is not ready and was to stop it"
        return PodProblem(_cluster("NodeLost", text), NODE_SILENT_S, unstoppable=True)
    if (found := disruption(manifest)) is not None:
        # The taint of a node that is not ready says no more than that.
        reason = "NodeLost" if silent and found[0] == "NodeTainted" else found[0]
        return PodProblem(_cluster(reason, f"pod {pod.name}: {found[1]}"))
    if silent:
        # Its taint decides how long the pod is left there: see the pod's tolerations.
        return PodProblem(_cluster("NodeNotReady", f"node {pod.node} is not ready"))
    return _not_starting(sight, pod, manifest) if not pod.deleting else None


def _cluster(reason: str, message: str) -> Failure:
    return Failure(reason, message, Fault.CLUSTER)


def _ready(node: Json) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    found = [each["status"] for each in conditions if each["type"] == "Ready"]
    # A node that says nothing yet is new.
    return not found or found[0] == "True"


def _not_starting(sight: TaskSnapshot, pod: PodView, manifest: Json) -> PodProblem | None:
    for image, reason, message in _waiting(manifest):
        text = f"pod {pod.name}: {reason}: {message or 'no reason given'}"
        if reason in NEVER:
            return PodProblem(Failure("InvalidImageName", text, Fault.FINAL), 0.0)
        if reason in IMAGE:
            text = f"pod {pod.name}: image {image} cannot be pulled: {message or reason}"
            return PodProblem(Failure("ImagePullFailed", text), sight.start_patience_s)
        if reason in NOT_STARTED:
            return PodProblem(Failure("ContainerNotStarted", text), sight.start_patience_s)
    return None


def _waiting(manifest: Json) -> Iterator[tuple[str, str, str]]:
    """(image, reason, message) of each container that waits to be started."""
    status = manifest.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(kind) or ():
            waits = (each.get("state") or {}).get("waiting")
            if waits:
                yield each.get("image", ""), waits.get("reason", ""), waits.get("message", "")
