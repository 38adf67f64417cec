"""The order in which tasks get their turn: the planner's own rules, for one device.

The operator knows no device's predictions, but each model's latency on the fastest. On a single
device with those, a plan is an order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from acesniper.domain.device import Device, DeviceId, NodeName
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.policies.estimates import Estimates, FleetSnapshot, LatencyRow
from acesniper.policies.plan import make_plan
from acesniper.policies.policy import Policy

ANY = Device(DeviceId("any"), NodeName("any"), "any", slots=1, memory_bytes=0)


def queue_order(
    tasks: Sequence[Task], fastest_s: Mapping[ModelKey, float], policy: Policy, now_s: float
) -> list[TaskKey]:
    """Keys of the tasks, whose turn comes first first; what the rules leave open, by age."""
    rows = {model: _row(seconds) for model, seconds in fastest_s.items()}
    snapshot = FleetSnapshot(now_s, Estimates([ANY], rows), {})
    plan = make_plan(map(_anywhere, tasks), snapshot, replace(policy, explore_share=0.0))
    first = dict.fromkeys(each.task.key for each in plan.planned)
    rest = sorted(
        (each for each in tasks if each.key not in first),
        key=lambda task: (-task.priority, task.created_s, task.key),
    )
    return [*first, *(each.key for each in rest)]


def _row(seconds: float) -> LatencyRow:
    latency_s = np.array([seconds])
    return LatencyRow(latency_s, latency_s, latency_s, "fastest")


def _anywhere(task: Task) -> Task:
    """A task without what it asks of devices; late or not, it keeps its turn."""
    return replace(
        task,
        providers=frozenset(),
        node_selector=(),
        memory_bytes=0,
        reject_late=False,
        excluded=frozenset(),
    )
