"""Whether a device can take a task at all, apart from how well."""

from collections.abc import Mapping

from acesniper.domain.device import Device, DeviceId
from acesniper.domain.prediction import FEASIBLE, Feasibility
from acesniper.domain.task import Task

EXCLUDED = Feasibility(False, "kube-scheduler did not bind the task's pod there a moment ago")


def check_feasibility(
    task: Task, device: Device, labels: Mapping[DeviceId, Mapping[str, str]]
) -> Feasibility:
    """Say whether `device` can run `task`, whenever it may be free.

    `labels[device]` are the labels of its node. What the task avoids for a while is not judged.
    """
    if task.providers and device.provider not in task.providers:
        wanted = ", ".join(sorted(task.providers))
        return Feasibility(
            False, f"its provider is {device.provider}, the task asks for {wanted}", True
        )
    if not device.schedulable:
        return Feasibility(False, "its node is cordoned or not ready")
    on_node = labels.get(device.id, {})
    for name, value in task.node_selector:
        if on_node.get(name) != value:
            return Feasibility(False, f"its node has no label {name}={value}", True)
    if device.memory_bytes and task.memory_bytes > device.memory_bytes:
        need, have = task.memory_bytes / 2**20, device.memory_bytes / 2**20
        return Feasibility(
            False, f"the model needs {need:.0f} MiB, the device has {have:.0f}", True
        )
    return FEASIBLE
