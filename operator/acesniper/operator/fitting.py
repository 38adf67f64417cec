"""Whether any device can take a task at all: where none can, waiting alone does not help."""

from collections.abc import Iterator
from math import inf

from acesniper.api import convert
from acesniper.api.v1alpha1 import ModelProfile
from acesniper.domain.device import DeviceId
from acesniper.domain.prediction import Feasibility
from acesniper.domain.task import Task
from acesniper.operator.task.snapshot import TaskSnapshot
from acesniper.policies.estimates import check_feasibility

TOLD = 3
"""Devices whose reasons are told."""
KEPT_S = 5.0
"""So long an answer holds for all tasks that ask for the same: finding it grows with the fleet."""
MOST_KEPT = 1000


def unschedulable_reason(sight: TaskSnapshot, name: str, profile: ModelProfile) -> str | None:
    """Why no device can take the task of a model called `name`; None while there is hope."""
    features = convert.model_features(profile)
    task = convert.to_task(sight.task, name, features.peak_memory_bytes if features else 0)
    demand = (task.providers, task.node_selector, task.memory_bytes)
    found_s, found = sight.nowhere.get(demand, (-inf, None))
    if not 0.0 <= sight.now_s - found_s < KEPT_S:
        found = _reasons(sight, task)
        if len(sight.nowhere) >= MOST_KEPT:
            sight.nowhere.clear()
        sight.nowhere[demand] = sight.now_s, found
    return found


def _reasons(sight: TaskSnapshot, task: Task) -> str | None:
    reasons = []
    for device, verdict in _verdicts(sight, task):
        if verdict.feasible or not verdict.lasting:
            return None
        reasons.append(f"{device}: {verdict.reason}")
    if not reasons:
        return None
    others = f"; and {len(reasons) - TOLD} more" if len(reasons) > TOLD else ""
    return f"no device can take it: {'; '.join(reasons[:TOLD])}{others}"


def _verdicts(sight: TaskSnapshot, task: Task) -> Iterator[tuple[str, Feasibility]]:
    """What is to be said of each device whose node is there; none where nodes are not known."""
    for each in sight.devices.values():
        node = (sight.nodes or {}).get(each.spec.node)
        if node is not None:
            device = convert.to_device(each, schedulable=True)
            labels = node.get("metadata", {}).get("labels") or {}
            yield device.id, check_feasibility(task, device, {DeviceId(device.id): labels})
