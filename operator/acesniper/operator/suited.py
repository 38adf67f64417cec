"""Which waiting tasks suit a device as the fleet is now: the planner's own rule, on the mirror."""

from collections.abc import Sequence
from dataclasses import replace

from acesniper.api import convert
from acesniper.api.objects import NodeView
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.operator.cache import ObjectCache
from acesniper.policies.estimates import check_feasibility


def feasible_tasks(tasks: Sequence[Task], store: ObjectCache) -> set[TaskKey]:
    """Keys of the tasks that suit at least one device; what is alike is judged once."""
    nodes = {name: NodeView.of(node) for name, node in store.nodes.items()}
    devices = [
        convert.to_device(each, schedulable=nodes[each.spec.node].schedulable)
        for each in store.devices.values()
        if each.spec.node in nodes
    ]
    labels = {each.id: nodes[each.node].labels for each in devices}
    memory_bytes = {model: _memory_bytes(model, store) for model in {each.model for each in tasks}}
    known: dict[tuple[object, ...], bool] = {}
    found = set()
    for task in tasks:
        asked = replace(task, memory_bytes=memory_bytes[task.model])
        demand = (asked.providers, asked.node_selector, asked.memory_bytes)
        if demand not in known:
            known[demand] = any(check_feasibility(asked, each, labels).feasible for each in devices)
        if known[demand]:
            found.add(task.key)
    return found


def _memory_bytes(model: ModelKey, store: ObjectCache) -> int:
    profile = store.models.get(model)
    features = convert.model_features(profile) if profile is not None else None
    return features.peak_memory_bytes if features is not None else 0
