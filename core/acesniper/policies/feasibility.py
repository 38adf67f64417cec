"""Whether a device can take a task at all, apart from how well."""

from acesniper.domain.completion import FEASIBLE, Completion, Verdict
from acesniper.domain.device import Device
from acesniper.domain.fleet import Snapshot
from acesniper.domain.task import Task


def judge(task: Task, device: Device, snapshot: Snapshot) -> Verdict:
    """Say whether `device` can run `task`, whenever it may be free."""
    if task.providers and device.provider not in task.providers:
        wanted = ", ".join(sorted(task.providers))
        return Verdict(
            False, f"its provider is {device.provider}, the task asks for {wanted}", True
        )
    if device.id in task.excluded:
        return Verdict(False, "kube-scheduler did not bind the task's pod there a moment ago")
    if not device.schedulable:
        return Verdict(False, "its node is cordoned or not ready")
    labels = snapshot.labels.get(device.id, {})
    for name, value in task.node_selector:
        if labels.get(name) != value:
            return Verdict(False, f"its node has no label {name}={value}", True)
    if device.memory_bytes and task.memory_bytes > device.memory_bytes:
        need, have = task.memory_bytes / 2**20, device.memory_bytes / 2**20
        return Verdict(False, f"the model needs {need:.0f} MiB, the device has {have:.0f}", True)
    return FEASIBLE


def misses_deadline(task: Task, completion: Completion, now_s: float) -> bool:
    """Whether even the optimistic estimate is too late for a task that rejects being late."""
    if task.deadline_s is None or not task.reject_late:
        return False
    optimistic_s = completion.finish_s - completion.run_s
    optimistic_s += completion.inferences * completion.prediction.low_s
    return now_s + optimistic_s > task.deadline_s
