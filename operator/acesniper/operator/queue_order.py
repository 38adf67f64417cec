"""The order of the waiting tasks, as far as the operator knows devices and pods.

The planner decides; the operator orders tasks the same way, so that the next ones have pods.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from acesniper.api import convert
from acesniper.api.objects import NodeView, namespaced_key
from acesniper.domain.device import Device, DeviceId, NodeName
from acesniper.domain.reservations import PodUid, Reservation
from acesniper.domain.scheduling_rules import NO_RULES
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.operator.cache import ObjectCache
from acesniper.policies.estimates import (
    NEUTRAL_S,
    Estimates,
    FleetSnapshot,
    PredictionRow,
)
from acesniper.policies.feasibility import check_feasibility
from acesniper.policies.plan import make_plan
from acesniper.policies.policy import Policy
from acesniper.policies.shares import ShareAccounts

ANY_DEVICE = Device(DeviceId("any"), NodeName("any"), "any", slots=1, memory_bytes=0)


def fastest_latencies(store: ObjectCache) -> dict[ModelKey, float]:
    """Seconds of one inference of each model on its fastest device."""
    return {
        ModelKey(key): min(latency.fastest_seconds for latency in profile.status.latency)
        for key, profile in store.models.items()
        if profile.status.latency
    }


def held_reservations(
    store: ObjectCache, fastest_s: Mapping[ModelKey, float]
) -> dict[PodUid, Reservation]:
    """What the admitted pods of tasks are predicted to take, as far as the operator knows it."""
    held = {}
    for key, pods in store.pods.items():
        task = store.tasks.get(key)
        for view, _ in pods.values():
            if view.finished or view.gated or not view.slots or task is None:
                continue
            model = ModelKey(namespaced_key(view.namespace, str(view.model)))
            expected_s = task.spec.inferences * fastest_s.get(model, NEUTRAL_S)
            device = DeviceId(view.device or view.node or "")
            held[view.uid] = Reservation(
                device, expected_s, view.bound_s, slots=view.slots, namespace=view.namespace
            )
    return held


def queue_order(
    tasks: Sequence[Task],
    fastest_s: Mapping[ModelKey, float],
    policy: Policy,
    now_s: float,
    shares: ShareAccounts | None = None,
) -> list[TaskKey]:
    """Keys of the tasks in the order of the planner's policy and shares; the rest by age.

    The operator has no predictions per device, but the latency of each model on its fastest one.
    For a single device with those latencies, the planner's plan is an order.
    """
    rows = {model: _latency_row(seconds) for model, seconds in fastest_s.items()}
    snapshot = FleetSnapshot(now_s, Estimates([ANY_DEVICE], rows), {})
    rules = replace(policy, explore_share=0.0)
    plan = make_plan(map(_unconstrained, tasks), snapshot, rules, shares=shares)
    first = dict.fromkeys(planned.task.key for planned in plan.planned)
    rest = sorted(
        (task for task in tasks if task.key not in first),
        key=lambda task: (-task.priority, task.created_s, task.key),
    )
    return [*first, *(task.key for task in rest)]


def _latency_row(seconds: float) -> PredictionRow:
    latency_s = np.array([seconds])
    return PredictionRow(latency_s, latency_s, latency_s, "fastest")


def _unconstrained(task: Task) -> Task:
    """A task without demands on devices, and without a deadline policy that could reject it."""
    return replace(
        task,
        providers=frozenset(),
        pod_rules=NO_RULES,
        memory_bytes=0,
        reject_late=False,
        excluded=frozenset(),
    )


def feasible_tasks(tasks: Sequence[Task], store: ObjectCache) -> set[TaskKey]:
    """Keys of the tasks that at least one device can run; equal demands are checked once."""
    nodes = {name: NodeView.of(node) for name, node in store.nodes.items()}
    devices = [
        convert.to_device(profile, schedulable=nodes[profile.spec.node].schedulable)
        for profile in store.devices.values()
        if profile.spec.node in nodes
    ]
    rules = store.node_rules()
    memory_bytes = {model: _memory_bytes(model, store) for model in {task.model for task in tasks}}
    checked: dict[tuple[object, ...], bool] = {}
    feasible = set()
    for resource in tasks:
        task = replace(resource, memory_bytes=memory_bytes[resource.model])
        demand = (task.providers, task.pod_rules, task.memory_bytes)
        if demand not in checked:
            checked[demand] = any(
                check_feasibility(task, device, rules, store.volumes).feasible for device in devices
            )
        if checked[demand]:
            feasible.add(task.key)
    return feasible


def _memory_bytes(model: ModelKey, store: ObjectCache) -> int:
    profile = store.models.get(model)
    features = convert.model_features(profile) if profile is not None else None
    return features.peak_memory_bytes if features is not None else 0
