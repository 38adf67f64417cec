"""What is wrong with a pod that has not ended: problems that are reported, and when they end it.

The task's condition `Healthy` records since when a problem exists, so that it survives a restart
of the operator. What an ended pod says is in `pod_failure.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from acesniper.api.decision import Decision
from acesniper.api.messages import runner_container
from acesniper.api.objects import PodView
from acesniper.api.reasons import ConditionType, Reason
from acesniper.api.units import duration_text, epoch_s
from acesniper.api.v1alpha1 import find_condition
from acesniper.operator.task.pod import pod_name
from acesniper.operator.task.pod_failure import (
    Failure,
    Fault,
    cluster_failure,
    disruption,
    init_container,
)
from acesniper.operator.task.snapshot import TaskSnapshot

Manifest = Mapping[str, Any]

NODE_GONE_S = 10.0
"""How long a node may be missing from the API server before its pods are given up: a kubelet that
registers again at once keeps its pods."""
NODE_SILENT_S = 10.0
"""How long to wait for a NotReady node to stop a pod whose grace period is over."""
KUBELET_LATE_S = 10.0
"""How long to wait for kubelet to end a pod after its activeDeadlineSeconds."""
IMAGE_PULL_ERRORS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ImageInspectError",
    "ErrImageNeverPull",
}
START_ERRORS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


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


def current_pod(snapshot: TaskSnapshot) -> tuple[PodView, Manifest] | None:
    """The pod of the current attempt, by name.

    If a user edited the status, the name no longer matches: then it is the pod that the status
    names or, if the status was emptied, a live one.
    """
    status, pods = snapshot.task.status, snapshot.pods
    pod = pods.get(pod_name(snapshot.task)) or pods.get(status.pod or "")
    if pod is None and status.phase is None:
        live = (entry for entry in pods.values() if not entry[0].finished and not entry[0].deleting)
        return next(live, None)
    return pod


# --- runs that take too long -------------------------------------------------------------------


def run_time_failure(snapshot: TaskSnapshot, pod: PodView, manifest: Manifest) -> Failure | None:
    """Why a bound pod has run for too long; None if it has not."""
    over = [limit for limit in _run_limits(snapshot, pod, manifest) if limit[0] <= snapshot.now_s]
    return min(over, key=lambda limit: limit[0])[1] if over else None


def run_time_left_s(snapshot: TaskSnapshot, pod: PodView, manifest: Manifest) -> float | None:
    """Seconds until a bound pod has run for too long; None without a limit."""
    limits = [due_s for due_s, _ in _run_limits(snapshot, pod, manifest)]
    return min(limits) - snapshot.now_s if limits else None


def _run_limits(
    snapshot: TaskSnapshot, pod: PodView, manifest: Manifest
) -> Iterator[tuple[float, Failure]]:
    """(time in seconds since the epoch, failure) of each limit on how long a pod may run.

    Times are those of its binding and of the operator, never of the node's clock. kubelet ends a
    pod after activeDeadlineSeconds, unless it hangs itself.
    """
    if pod.bound_s is None:
        return
    deadline_s = manifest["spec"].get("activeDeadlineSeconds")
    if deadline_s:
        text = (
            f"pod {pod.name}: ran longer than its limit of {deadline_s} s (activeDeadlineSeconds)"
        )
        failure = Failure(Reason.RUN_TIME_EXCEEDED, text, Fault.FINAL)
        yield pod.bound_s + float(deadline_s) + KUBELET_LATE_S, failure
    decision = Decision.read(pod.decision)
    if decision is None or not snapshot.run_limit_factor or snapshot.task.spec.active_deadline:
        return
    chosen = decision.candidates[0]
    predicted_s = chosen.cold_start_seconds + chosen.transfer_seconds
    predicted_s += chosen.inferences * chosen.high_seconds
    limit_s = max(snapshot.run_limit_factor * predicted_s, snapshot.run_limit_floor_s)
    text = (
        f"pod {pod.name}: ran longer than {duration_text(limit_s)}, at most"
        f" {duration_text(predicted_s)} were predicted; set spec.activeDeadline if it has to"
    )
    due_s = pod.bound_s + limit_s
    progress = snapshot.task.status.progress
    if progress is not None and snapshot.task.status.pod_uid == pod.uid:
        # It is slow, but does not hang.
        due_s = max(due_s, epoch_s(progress.seen_at) + snapshot.run_limit_floor_s)
    yield due_s, Failure(Reason.RUN_TIME_EXCEEDED, text)


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
        return PodProblem(cluster_failure(Reason.NODE_LOST, text), NODE_GONE_S, node_lost=True)
    not_ready = snapshot.nodes is not None and not _is_ready(snapshot.nodes[str(pod.node)])
    if not_ready and pod.deleting:
        text = f"pod {pod.name}: node {pod.node} is NotReady and cannot terminate the pod"
        return PodProblem(cluster_failure(Reason.NODE_LOST, text), NODE_SILENT_S, node_lost=True)
    if (disrupted := disruption(manifest)) is not None:
        reason, message = disrupted
        # The taint of a NotReady node means nothing else.
        if not_ready and reason is Reason.NODE_TAINTED:
            reason = Reason.NODE_LOST
        return PodProblem(cluster_failure(reason, f"pod {pod.name}: {message}"))
    if not_ready:
        # The pod's tolerations decide how long it stays.
        text = f"node {pod.node} is NotReady"
        return PodProblem(cluster_failure(Reason.NODE_NOT_READY, text))
    return _start_problem(snapshot, pod, manifest) if not pod.deleting else None


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
    return _sidecar_problem(snapshot, pod, manifest)


def _sidecar_problem(snapshot: TaskSnapshot, pod: PodView, manifest: Manifest) -> PodProblem | None:
    """A native sidecar that ends again and again before the runner has started.

    kubelet restarts it for ever, and the runner waits for it. Between two restarts it runs.
    """
    status = manifest.get("status", {})
    runner = [
        container
        for container in status.get("containerStatuses") or ()
        if container.get("name") == runner_container(manifest)
    ]
    if runner and "waiting" not in (runner[0].get("state") or {"waiting": {}}):
        return None
    for container in status.get("initContainerStatuses") or ():
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if container.get("restartCount") and ended:
            failed = init_container(manifest, str(container.get("name")), ended)
            text = f"pod {pod.name}: {failed.label} is restarted again and again: {failed.text}"
            if ended.get("exitCode") in snapshot.task.spec.permanent_exit_codes:
                return PodProblem(Failure(Reason.PERMANENT_EXIT_CODE, text, Fault.FINAL), 0.0)
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
