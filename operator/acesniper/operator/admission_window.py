"""Which waiting tasks are near enough to their turn to have a gated pod.

The API server keeps any number of tasks; kube-scheduler and the planner should not have to keep as
many pods. The order is that of the planner's policy, so that what it would start next has its pod;
what no device can run comes after all else.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from acesniper.api import convert
from acesniper.api.names import SLOT_RESOURCE
from acesniper.api.objects import NodeView
from acesniper.api.units import parse_count
from acesniper.api.v1alpha1 import FINISHED, InferenceTask, Phase
from acesniper.domain.backoff import Backoff
from acesniper.domain.device import Device, DeviceId, NodeName
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.operator.cache import ObjectCache
from acesniper.policies.estimates import Estimates, FleetSnapshot, LatencyRow, check_feasibility
from acesniper.policies.plan import make_plan
from acesniper.policies.policy import Policy

PLACED = FINISHED | {Phase.SCHEDULED, Phase.RUNNING}
SPARE = 50
"""Tasks in the window beyond two for each slot."""
FULL_S = (0.5, 5.0)
"""How long tasks of a namespace that may have no more pods stay outside, so that others come in: at
first, and at most. Its quota is free again a moment after one of its pods has ended."""
REFUSED_S = (5.0, 60.0)
"""The same of a task whose pod is refused for another reason."""
ORDER_S = 1.0
"""How often a long queue is put in order."""


MOST_PER_S = 10.0
"""So many are tried in a second in the long run."""


@dataclass(slots=True)
class RefusalBackoff:
    """Who was refused, by key, with the end of the pause and how long that is.

    The first pause is `first_s`; each is twice as long as the one before, up to `last_s`, or longer
    where there are very many.
    """

    first_s: float
    last_s: float
    _pauses: dict[str, tuple[float, float]] = field(default_factory=dict)

    def note(self, key: str, now_s: float) -> None:
        """Refused once more; what was asked before the pause began changes nothing."""
        end_s, before_s = self._pauses.get(key, (0.0, 0.0))
        if not _pausing(end_s, before_s, now_s):
            longest_s = max(self.last_s, len(self._pauses) / MOST_PER_S)
            pause_s = Backoff(self.first_s, longest_s).next_s(before_s)
            self._pauses[key] = now_s + pause_s, pause_s

    def over(self, key: str) -> None:
        """Granted, or something changed for the better."""
        self._pauses.pop(key, None)

    def keep(self, keys: Collection[str]) -> None:
        """Forget all but these."""
        self._pauses = {key: each for key, each in self._pauses.items() if key in keys}

    def pausing(self, now_s: float) -> set[str]:
        """Those who are not to be tried now."""
        return {key for key, each in self._pauses.items() if _pausing(*each, now_s)}


def _pausing(end_s: float, pause_s: float, now_s: float) -> bool:
    """Whether a pause still lasts; a clock that was set back ends it."""
    return 0.0 < end_s - now_s <= pause_s


@dataclass(slots=True)
class AdmissionWindow:
    """The first waiting tasks: two for each slot of the fleet and some, `most` at most."""

    store: ObjectCache
    most: int
    policy: Policy = field(default_factory=Policy)
    size: int = 0
    _inside: frozenset[str] = field(default_factory=frozenset)
    _order: list[str] = field(default_factory=list)
    _ordered_s: float = float("-inf")
    _full: RefusalBackoff = field(default_factory=lambda: RefusalBackoff(*FULL_S))
    _refused: RefusalBackoff = field(default_factory=lambda: RefusalBackoff(*REFUSED_S))
    _outside: set[str] = field(default_factory=set)
    """Namespaces that are full, and tasks whose pod was refused, for now."""
    _known: dict[str, tuple[str, Task]] = field(default_factory=dict)
    """Tasks by key, with the UID they were made from: what orders a task never changes."""

    def __post_init__(self) -> None:
        self.size = self._fitting()

    def __contains__(self, key: object) -> bool:
        task = self.store.tasks.get(str(key))
        if task is None or self._stays_outside(str(key), task):
            return False
        return len(self.store.tasks) <= self.size or key in self._inside

    def refresh(self, now_s: float) -> frozenset[str]:
        """Move the window to the present; returns the tasks that are new in it."""
        self.size = self._fitting()
        before, self._inside = self._inside, self._first(now_s)
        return self._inside - before

    def is_full(self, namespace: str, now_s: float) -> None:
        """Note that a namespace may have no more pods for now: its quota is used up."""
        self._full.note(namespace, now_s)
        self._leave(namespace)

    def has_room(self, namespace: str) -> None:
        """Note that a namespace may have another pod: one was made there, or has ended."""
        self._full.over(namespace)

    def refused(self, key: str, now_s: float) -> None:
        """Note that a task's pod was refused: others get its place for a while."""
        self._refused.note(key, now_s)
        self._leave(key)

    def made(self, key: str) -> None:
        """Note that a task's pod was made."""
        self._refused.over(key)
        self.has_room(key.partition("/")[0])

    def _fitting(self) -> int:
        statuses = (node.get("status", {}) for node in self.store.nodes.values())
        offered = ((each.get("allocatable") or {}).get(SLOT_RESOURCE) for each in statuses)
        return min(self.most, 2 * sum(map(parse_count, offered)) + SPARE)

    def _first(self, now_s: float) -> frozenset[str]:
        self._refused.keep(self.store.tasks)
        self._outside = self._full.pausing(now_s) | self._refused.pausing(now_s)
        waiting = {
            key: task
            for key, task in self.store.tasks.items()
            if _waits(task) and not self._stays_outside(key, task)
        }
        if len(waiting) <= self.size:
            return frozenset(waiting)
        in_order = [key for key in self._order if key in waiting]
        if not 0.0 <= now_s - self._ordered_s < ORDER_S or len(in_order) < self.size:
            in_order = self._order = self._put_in_order(waiting, now_s)
            self._ordered_s = now_s
        return frozenset(in_order[: self.size])

    def _leave(self, who: str) -> None:
        """Out at once: whoever comes in again, however soon, is new."""
        self._outside.add(who)
        tasks = ((key, self.store.tasks.get(key)) for key in self._inside)
        self._inside = frozenset(
            key for key, task in tasks if task is not None and not self._stays_outside(key, task)
        )

    def _stays_outside(self, key: str, task: InferenceTask) -> bool:
        if key in self._outside:
            return True
        return task.metadata["namespace"] in self._outside and not self._has_pod(key)

    def _has_pod(self, key: str) -> bool:
        return any(not view.finished for view, _ in self.store.pods.get(key, {}).values())

    def _put_in_order(self, waiting: Mapping[str, InferenceTask], now_s: float) -> list[str]:
        self._known = {key: self._task(key, resource) for key, resource in waiting.items()}
        tasks = [replace(task, priority=self._priority(task)) for _, task in self._known.values()]
        in_order = queue_order(tasks, self._fastest_s(), self.policy, now_s)
        able = feasible_tasks(tasks, self.store)
        # What nothing can run would fill the window, and keep out all that could start.
        return [str(key) for key in sorted(in_order, key=lambda key: key not in able)]

    def _task(self, key: str, resource: InferenceTask) -> tuple[str, Task]:
        uid, model = resource.metadata["uid"], resource.status.model_profile or ""
        known = self._known.get(key)
        if known is not None and known[0] == f"{uid}/{model}":
            return known
        return f"{uid}/{model}", convert.to_task(resource, model)

    def _priority(self, task: Task) -> int:
        return self.store.priorities.get(task.priority_class, 0)

    def _fastest_s(self) -> dict[ModelKey, float]:
        """What one inference of each model takes on the fastest device."""
        return {
            ModelKey(key): min(each.fastest_seconds for each in profile.status.latency)
            for key, profile in self.store.models.items()
            if profile.status.latency
        }


def _waits(task: InferenceTask) -> bool:
    return task.status.phase not in PLACED and not task.spec.suspend


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
