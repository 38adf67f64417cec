"""Why the attempt of an ended pod failed, and whose fault it is: pure functions of its status.

Failures of the application cost a retry, since the next attempt may end the same way. Failures of
the cluster (a lost node, an eviction, a preemption) cost none, up to a limit. Final failures are
not retried, since the next attempt would certainly fail as well.

The tables list what kubelet and the controllers write. `docs/reference/endings.md` documents them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from acesniper.api.messages import runner_container, terminated_state
from acesniper.api.reasons import Reason
from acesniper.api.units import epoch_s, parse_quantity
from acesniper.api.v1alpha1 import InferenceTaskSpec

Manifest = Mapping[str, Any]

MAX_OUTPUT_CHARS = 500
"""Characters of a container's last output that are shown; enough for the end of a traceback."""
RUNNER_INPUT_EXIT = 2
"""Exit code of the runner if its model or input can never be used."""
RUNNER_REASON = re.compile(r"^error \((\w+)\):", re.MULTILINE)
"""How the runner reports the reason."""
REASON_BY_DISRUPTION = {
    "PreemptionByScheduler": Reason.PREEMPTED,
    "PreemptionByKubeScheduler": Reason.PREEMPTED,
    "DeletionByTaintManager": Reason.NODE_TAINTED,
    "DeletionByDeviceTaintManager": Reason.NODE_TAINTED,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "DeletionByPodGC": Reason.NODE_LOST,
    "TerminationByKubelet": Reason.EVICTED,
}
"""By the reason of a pod's condition DisruptionTarget. kubelet's own is explained further by
status.reason."""
REASON_BY_POD_STATUS = {
    "Evicted": Reason.EVICTED,
    "NodeLost": Reason.NODE_LOST,
    "Preempting": Reason.PREEMPTED,
    "Terminated": Reason.NODE_SHUTDOWN,
    "NodeShutdown": Reason.NODE_SHUTDOWN,
    "Shutdown": Reason.NODE_SHUTDOWN,
}
"""By a pod's status.reason, if its node ended it."""
REJECTIONS = {
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "TaintToleration",
    "UnexpectedAdmissionError",
    "UnexpectedPredicateFailureType",
    "TopologyAffinityError",
    "InvalidNodeInfo",
    "PodOSNotSupported",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "SupplementalGroupsPolicyNotSupported",
    "InitContainerRestartPolicyForbidden",
    "SysctlForbidden",
    "AppArmor",
}
"""Values of status.reason of a pod that its kubelet did not admit; `OutOf...` are others."""
REJECTED = "Pod was rejected"
"""How kubelet begins status.message of any pod that it did not admit, whatever the reason."""
LOST_CONTAINERS = {"ContainerStatusUnknown", "Unknown"}
"""Reasons of a container that its runtime lost, as by a restart of the node."""
NODE_EVICTION = re.compile(r"the node (was low on resource|had condition)", re.IGNORECASE)
"""kubelet evicts for pressure on the node, or for a limit of the pod itself. Since Kubernetes 1.26
only the former has a DisruptionTarget; older ones, and pods that are not admitted under pressure,
are recognised by their message."""


class Fault(Enum):
    """Cause of a failure, which decides about another attempt."""

    APPLICATION = auto()
    CLUSTER = auto()
    FINAL = auto()
    """The application, and the next attempt would certainly fail as well."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt.

    `needs_memory_bytes` is the least memory that the model needs, if its runner ran out of memory.
    """

    reason: Reason
    message: str
    fault: Fault = Fault.APPLICATION
    needs_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class EndedContainer:
    """A container that failed: `label` names it in messages, and is empty for the runner."""

    name: str
    label: str
    state: Manifest

    @property
    def text(self) -> str:
        """Its reason, exit code and last output."""
        return _summary(self.state.get("reason"), self.state.get("exitCode"), self.output)

    @property
    def output(self) -> str:
        """The end of its termination message."""
        return str(self.state.get("message") or "").strip()[-MAX_OUTPUT_CHARS:]


def cluster_failure(reason: Reason, message: str) -> Failure:
    """A failure that costs no retry."""
    return Failure(reason, message, Fault.CLUSTER)


# --- whether the attempt is over ---------------------------------------------------------------


def has_succeeded(pod: Manifest, spec: InferenceTaskSpec) -> bool:
    """Whether the runner's result is there, whatever other containers of the pod do or did."""
    if pod.get("status", {}).get("phase") == "Succeeded":
        return True
    state = terminated_state(pod)
    if not state or state.get("exitCode") != 0 or not _runner_decides(pod, spec):
        return False
    return pod["status"].get("phase") == "Failed" or _others_run(pod)


def has_failed(pod: Manifest, spec: InferenceTaskSpec) -> bool:
    """Whether the attempt has failed, even if sidecars of its pod still run."""
    if pod.get("status", {}).get("phase") == "Failed":
        return True
    if pod["metadata"].get("deletionTimestamp"):
        return False  # kubelet ends all containers
    ended = terminated_state(pod).get("exitCode", 0) != 0 and _runner_decides(pod, spec)
    return ended and _others_run(pod)


def _runner_decides(pod: Manifest, spec: InferenceTaskSpec) -> bool:
    """Whether one container does the work; a template may have several without naming a runner."""
    template = spec.template.get("spec") if spec.template else None
    given = template.get("containers") if isinstance(template, dict) else None
    named = runner_container(pod)
    return not isinstance(given, list) or len(given) <= 1 or named == "runner"


def _others_run(pod: Manifest) -> bool:
    """Whether other containers still run; if not, kubelet is about to set the phase."""
    statuses = pod["status"].get("containerStatuses") or ()
    states = [
        container.get("state") or {}
        for container in statuses
        if container.get("name") != runner_container(pod)
    ]
    return any("terminated" not in state for state in states)


# --- why it failed -----------------------------------------------------------------------------


def attempt_failure(pod: Manifest, spec: InferenceTaskSpec, device_bytes: int | None) -> Failure:
    """Why a pod failed; `device_bytes` is the memory of its device, if known."""
    where = f"pod {pod['metadata']['name']}"
    if (disrupted := disruption(pod)) is not None:
        reason, message = disrupted
        return cluster_failure(reason, f"{where}: {message}")
    status = pod.get("status", {})
    if status.get("reason") == "Evicted":
        text = f"{where}: evicted for its own limit: {str(status.get('message')).strip()}"
        return Failure(Reason.POD_LIMIT_EXCEEDED, text)
    if status.get("reason") == "DeadlineExceeded":
        limit_s = pod.get("spec", {}).get("activeDeadlineSeconds")
        text = f"{where}: ran longer than its limit of {limit_s} s (activeDeadlineSeconds)"
        return Failure(Reason.RUN_TIME_EXCEEDED, text, Fault.FINAL)
    ended = failed_container(pod)
    if ended is None:
        return Failure(Reason.ATTEMPT_FAILED, f"{where}: {failure_message(pod)}")
    where = f"{where}: {ended.label}" if ended.label else where
    if _deleted_first(pod, ended):
        return cluster_failure(Reason.POD_LOST, f"{where}: deleted while it ran: {ended.text}")
    return _container_failure(pod, spec, ended, where, device_bytes)


def _container_failure(
    pod: Manifest,
    spec: InferenceTaskSpec,
    ended: EndedContainer,
    where: str,
    device_bytes: int | None,
) -> Failure:
    text = f"{where}: {ended.text}"
    code = ended.state.get("exitCode")
    if ended.state.get("reason") in LOST_CONTAINERS:
        return cluster_failure(Reason.NODE_LOST, text)
    if ended.state.get("reason") == "OOMKilled":
        return _out_of_memory(pod, spec, ended, where, device_bytes)
    if code in spec.permanent_exit_codes:
        return Failure(Reason.PERMANENT_EXIT_CODE, text, Fault.FINAL)
    if code == RUNNER_INPUT_EXIT and not ended.label and not spec.template:
        return Failure(_runner_reason(ended), text, Fault.FINAL)
    return Failure(Reason.ATTEMPT_FAILED, text)


def disruption(pod: Manifest) -> tuple[Reason, str] | None:
    """(reason, message) if the cluster ends or has ended a pod."""
    status = pod.get("status", {})
    cause, message = str(status.get("reason") or ""), str(status.get("message") or "").strip()
    by_status = REASON_BY_POD_STATUS.get(cause)
    for condition in status.get("conditions") or ():
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            by = condition.get("reason", "")
            reason = REASON_BY_DISRUPTION.get(by, Reason.EVICTED)
            if by == "TerminationByKubelet":
                reason = by_status or reason
            return reason, str(condition.get("message") or by)
    if status.get("phase") != "Failed":
        return None
    if by_status is Reason.EVICTED and message and not NODE_EVICTION.search(message):
        return None  # for a limit of its own
    rejected = cause.startswith("OutOf") or cause in REJECTIONS or message.startswith(REJECTED)
    if by_status is None and rejected:
        by_status = Reason.REJECTED_BY_NODE
    return None if by_status is None else (by_status, message or cause)


def failed_container(pod: Manifest) -> EndedContainer | None:
    """The container that made a pod fail: the runner if it failed, else any other one."""
    runner = runner_container(pod)
    failed = [ended for ended in _ended_containers(pod, runner) if ended.state.get("exitCode") != 0]
    return min(failed, key=lambda ended: ended.name != runner, default=None)


def failure_message(pod: Manifest) -> str:
    """Why a pod failed: the last output of the container that did, or the pod's own status."""
    ended = failed_container(pod)
    if ended is not None:
        return f"{ended.label}: {ended.text}" if ended.label else ended.text
    status = pod.get("status", {})
    message = str(status.get("message") or "").strip()[-MAX_OUTPUT_CHARS:]
    return _summary(status.get("reason"), None, message)


def _ended_containers(pod: Manifest, runner: str | None) -> Iterator[EndedContainer]:
    status = pod.get("status", {})
    for container in status.get("containerStatuses") or ():
        name = str(container.get("name"))
        state = (container.get("state") or {}).get("terminated")
        if state:
            yield EndedContainer(name, "" if name == runner else f"container {name}", state)
    for container in status.get("initContainerStatuses") or ():
        state = (container.get("state") or {}).get("terminated")
        if state:
            yield init_container(pod, str(container.get("name")), state)


def init_container(pod: Manifest, name: str, state: Manifest) -> EndedContainer:
    """An init container or native sidecar that ended."""
    always = any(
        container.get("name") == name and container.get("restartPolicy") == "Always"
        for container in pod["spec"].get("initContainers") or ()
    )
    return EndedContainer(name, f"{'sidecar' if always else 'init container'} {name}", state)


def _deleted_first(pod: Manifest, ended: EndedContainer) -> bool:
    """Whether the pod was being deleted before its container ended; both may be in one second."""
    metadata = pod["metadata"]
    if not metadata.get("deletionTimestamp"):
        return False
    finished = ended.state.get("finishedAt")
    deleted_s = epoch_s(metadata["deletionTimestamp"]) - (
        metadata.get("deletionGracePeriodSeconds") or 0
    )
    return not finished or epoch_s(finished) >= deleted_s


def _summary(reason: object, code: object, output: str) -> str:
    summary = str(reason or "Failed")
    if code is not None:
        summary += f", exit code {code}"
    return f"{summary}: {output}" if output else summary


def _runner_reason(ended: EndedContainer) -> Reason:
    match = RUNNER_REASON.search(str(ended.state.get("message", "")))
    reason = Reason.of_model(match[1] if match else "", Reason.INVALID_INPUT)
    # The digest matched when the operator read the file, so the file was replaced since.
    return Reason.MODEL_CHANGED if reason is Reason.DIGEST_MISMATCH else reason


# --- out of memory -----------------------------------------------------------------------------


def _out_of_memory(
    pod: Manifest,
    spec: InferenceTaskSpec,
    ended: EndedContainer,
    where: str,
    device_bytes: int | None,
) -> Failure:
    """The failure of an OOM-killed container: at its limit, or for lack of device memory.

    The same limit would end the next attempt as well. Only the runner's need is the model's.
    """
    text, is_runner = f"{where}: out of memory (OOM-killed)", not ended.label
    limit = _memory_limit(pod, ended.name)
    limit_bytes = parse_quantity(limit)
    if limit_bytes is not None and limit_bytes < (device_bytes or limit_bytes + 1):
        field = "spec.resources.limits.memory"
        if spec.template or not is_runner:
            field = f"resources.limits.memory of container {ended.name} in spec.template"
        text += f" at its limit of {limit}; it needs more; raise {field} in a new task"
        needs = limit_bytes + 1 if is_runner else None
        return Failure(Reason.OUT_OF_MEMORY, text, Fault.FINAL, needs_memory_bytes=needs)
    if not device_bytes:
        return Failure(Reason.OUT_OF_MEMORY, text)
    text += f" on a device with {device_bytes / 2**20:.0f} MiB"
    needs = device_bytes + 1 if is_runner else None
    return Failure(Reason.OUT_OF_MEMORY, text, needs_memory_bytes=needs)


def _memory_limit(pod: Manifest, name: str) -> str | None:
    """The smaller memory limit of a container and of its pod, as written; None without one."""
    spec = pod["spec"]
    limited = [
        container
        for field in ("containers", "initContainers")
        for container in spec.get(field) or ()
        if container.get("name") == name
    ]
    limits = [
        ((given.get("resources") or {}).get("limits") or {}).get("memory")
        for given in (*limited, spec)
    ]
    sizes = [(size, limit) for limit in limits if (size := parse_quantity(limit)) is not None]
    return min(sizes)[1] if sizes else None
