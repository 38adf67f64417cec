"""Why an attempt failed, and whose fault it was: the rules that decide about another one.

The application's faults cost a retry, since the next attempt may end the same way. The cluster's (a
node lost, an eviction, a preemption) cost none, but there is a limit. Where the next attempt would
certainly end the same way, there is none.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from acesniper.api.messages import terminated_state
from acesniper.api.units import parse_quantity
from acesniper.api.v1alpha1 import InferenceTaskSpec
from acesniper.operator.task.pod_health import failure_message

Json = Mapping[str, Any]

RUNNER_INPUT_EXIT = 2
"""Our runner ends with it when its model or input cannot be used, now or later."""
RUNNER_REASON = re.compile(r"^error \((\w+)\):", re.MULTILINE)
"""How our runner says why."""
BY_CONDITION = {
    "PreemptionByScheduler": "Preempted",
    "DeletionByTaintManager": "NodeTainted",
    "EvictionByEvictionAPI": "Evicted",
    "DeletionByPodGC": "NodeLost",
    "TerminationByKubelet": "Evicted",
}
"""Our word for the reason of a pod's condition DisruptionTarget."""
BY_STATUS = {
    "Evicted": "Evicted",
    "NodeLost": "NodeLost",
    "Preempting": "Preempted",
    "Terminated": "NodeShutdown",
    "NodeShutdown": "NodeShutdown",
    "Shutdown": "NodeShutdown",
    "NodeAffinity": "NodeRefused",
    "UnexpectedAdmissionError": "NodeRefused",
    "TopologyAffinityError": "NodeRefused",
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

    reason: str
    message: str
    fault: Fault = Fault.APPLICATION
    needs_memory_bytes: int | None = None


def disruption(pod: Json) -> tuple[str, str] | None:
    """(reason, message) where the cluster ends or has ended a pod."""
    status = pod.get("status", {})
    for each in status.get("conditions") or ():
        if each["type"] == "DisruptionTarget" and each["status"] == "True":
            known = BY_CONDITION.get(each.get("reason", ""), "Evicted")
            return known, str(each.get("message") or each.get("reason"))
    reason = str(status.get("reason") or "")
    known_status = BY_STATUS.get(reason) or ("NodeRefused" if reason.startswith("OutOf") else None)
    if status.get("phase") == "Failed" and known_status is not None:
        return known_status, str(status.get("message") or reason)
    return None


def attempt_failure(pod: Json, spec: InferenceTaskSpec, device_bytes: int | None) -> Failure:
    """Why a pod that has failed did so. `device_bytes` is the memory of its device, if known."""
    name, words = pod["metadata"]["name"], failure_message(pod)
    if (by_cluster := disruption(pod)) is not None:
        reason, message = by_cluster
        return Failure(reason, f"pod {name}: {message}", Fault.CLUSTER)
    if (killed := _killed_for_memory(pod)) is not None:
        return _out_of_memory(pod, killed, device_bytes)
    code = terminated_state(pod).get("exitCode")
    if code in spec.permanent_exit_codes:
        return Failure("PermanentExitCode", f"pod {name}: {words}", Fault.FINAL)
    if code == RUNNER_INPUT_EXIT and not spec.template:
        return Failure(_runner_reason(pod), f"pod {name}: {words}", Fault.FINAL)
    return Failure("AttemptFailed", f"pod {name}: {words}")


def _runner_reason(pod: Json) -> str:
    found = RUNNER_REASON.search(str(terminated_state(pod).get("message", "")))
    reason = found[1] if found else "InvalidInput"
    # It was right when the operator read it: somebody put another file there.
    return "ModelChanged" if reason == "DigestMismatch" else reason


def _killed_for_memory(pod: Json) -> Json | None:
    """The container of the pod's spec that was killed for want of memory."""
    killed = {name for name, state in _ended(pod) if state.get("reason") == "OOMKilled"}
    containers = pod["spec"].get("containers") or ()
    return next((each for each in containers if each.get("name") in killed), None)


def _ended(pod: Json) -> Iterator[tuple[str, Json]]:
    for each in pod.get("status", {}).get("containerStatuses") or ():
        yield str(each.get("name")), (each.get("state") or {}).get("terminated") or {}


def _out_of_memory(pod: Json, container: Json, device_bytes: int | None) -> Failure:
    name = pod["metadata"]["name"]
    limits = (container.get("resources") or {}).get("limits") or {}
    limit_bytes = parse_quantity(limits.get("memory"))
    text = f"pod {name}: killed for want of memory"
    if limit_bytes is not None and limit_bytes < (device_bytes or limit_bytes + 1):
        text += f", by its limit of {limits['memory']}; raise spec.resources.limits.memory"
        return Failure("OutOfMemory", text, needs_memory_bytes=limit_bytes + 1)
    if not device_bytes:
        return Failure("OutOfMemory", text)
    text += f" on a device with {device_bytes / 2**20:.0f} MiB"
    return Failure("OutOfMemory", text, needs_memory_bytes=device_bytes + 1)
