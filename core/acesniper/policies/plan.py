"""The plan: the device and start time of each waiting task.

Tasks are planned in order. Each is placed on the device that its rules select, after the tasks that
run there or were planned before it. A task whose best device is busy waits for that device instead
of starting on a slow, idle one. A plan is a pure function of the current state; every event causes
a new one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from acesniper.domain.device import Device, DeviceId
from acesniper.domain.prediction import Feasibility, FinishEstimate
from acesniper.domain.task import Task, TaskKey
from acesniper.policies.batch import BATCHES, Batch
from acesniper.policies.estimates import EXCLUDED, LIMIT_TEXT, FleetSnapshot, Floats
from acesniper.policies.feasibility import check_feasibility
from acesniper.policies.order import ORDERS, Queue
from acesniper.policies.placement import QUEUE_PLACEMENTS
from acesniper.policies.policy import Policy, RuleSet
from acesniper.policies.select import LaneSelector
from acesniper.policies.shares import FairQueue, ShareAccounts

DEADLINE_TEXT = "the deadline"


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task on a device: it starts in `start_s` seconds and occupies a slot for `busy_s`.

    `candidates` of a task that starts now: the selected device first, then the next best.
    """

    task: Task
    device: Device
    start_s: float
    busy_s: float
    candidates: tuple[FinishEstimate, ...] = ()

    @property
    def starts_now(self) -> bool:
        """Whether a slot of the device is free now."""
        return self.start_s <= 0.0

    @property
    def finish_s(self) -> float:
        """Seconds from now until the task finishes."""
        return self.start_s + self.busy_s


@dataclass(frozen=True, slots=True)
class Plan:
    """Planned tasks in planning order, and unschedulable tasks.

    A task in neither keeps waiting: its rules place nothing while all lanes are busy, or planning
    stopped early. `turn` counts placements over consecutive plans.
    """

    planned: tuple[PlannedTask, ...] = ()
    unplanned: Mapping[TaskKey, Task] = field(default_factory=dict)
    turn: int = 0
    late_s: Mapping[TaskKey, Floats] = field(default_factory=dict)
    """For unschedulable tasks with a deadline: seconds until each lane would finish them."""
    limited: frozenset[TaskKey] = frozenset()
    """Tasks that a device is free for, but whose namespace holds as much as it may."""
    max_run_s: float = inf

    def infeasible_devices(
        self, task: TaskKey, snapshot: FleetSnapshot
    ) -> dict[DeviceId, Feasibility]:
        """Why each device cannot run an unschedulable task."""
        unplanned = self.unplanned[task]
        estimates = snapshot.estimates
        requests = unplanned.pod_rules.requests
        reasons = {}
        for place, device in enumerate(estimates.devices):
            feasibility = check_feasibility(unplanned, device, estimates.nodes, estimates.volumes)
            if feasibility.feasible and device.id in unplanned.excluded:
                feasibility = EXCLUDED
            if feasibility.feasible:
                lane = estimates.lane_of[device.id]
                run_s = unplanned.inferences * float(estimates.terms(unplanned).latency_s[lane])
                if run_s > self.max_run_s:
                    text = f"would run for {run_s:.0f} s, {LIMIT_TEXT} is {self.max_run_s:.0f} s"
                    feasibility = Feasibility(False, text, lasting=True)
            if feasibility.feasible:
                finish_s = self.late_s[task][estimates.lane_of[device.id]]
                feasibility = snapshot.resources.verdict(requests, place, now=finish_s == inf)
            if feasibility.feasible:
                text = f"would finish in {finish_s:.1f} s, after {DEADLINE_TEXT}"
                feasibility = Feasibility(False, text, lasting=True)
            reasons[device.id] = feasibility
        return reasons


def make_plan(
    tasks: Iterable[Task],
    snapshot: FleetSnapshot,
    policy: Policy,
    behind: Iterable[Task] = (),
    previous: Plan | None = None,
    *,
    starting_only: bool = False,
    shares: ShareAccounts | None = None,
) -> Plan:
    """Plan the waiting tasks: O(tasks x lanes).

    Tasks in `behind` cannot start yet, whatever is free: they are planned after all others, so that
    no device is left idle for them. `previous` is the last plan: rules with a queue per device keep
    its devices. With `starting_only`, planning stops when no lane is free any more. With `shares`,
    namespaces take turns; without, or for a single namespace, the policy alone orders all tasks.
    """
    planning = _Planning(snapshot, policy, previous or Plan(), starting_only, shares)
    for ready in (list(tasks), list(behind)):
        if shares is not None and shares.divides(ready):
            planning.place_fairly(ready, shares)
            continue
        for rules, together in policy.groups(ready, snapshot.now_s):
            planning.place(rules, together)
    return planning.plan()


class _Planning:
    """State of a plan while it is being made."""

    def __init__(
        self,
        snapshot: FleetSnapshot,
        policy: Policy,
        previous: Plan,
        starting_only: bool,
        shares: ShareAccounts | None,
    ) -> None:
        self._snapshot, self._policy, self._starting_only = snapshot, policy, starting_only
        self._shares = shares
        self._charged_s: dict[str, float] = {}
        """Device seconds of each namespace's tasks that start now."""
        self._limited: set[TaskKey] = set()
        self._kept = {item.task.key: item.device.id for item in previous.planned}
        self._selector = LaneSelector(snapshot, policy, previous.turn)
        self._planned: list[PlannedTask] = []
        self._unplanned: dict[TaskKey, Task] = {}
        self._late_s: dict[TaskKey, Floats] = {}

    def plan(self) -> Plan:
        return Plan(
            tuple(self._planned),
            self._unplanned,
            self._selector.lanes.turn,
            self._late_s,
            frozenset(self._limited),
            self._policy.max_run_s,
        )

    def place_fairly(self, tasks: Sequence[Task], shares: ShareAccounts) -> None:
        """Place tasks of several namespaces, which take turns by their accounts.

        A batch rule places as many tasks together as there are lanes, in the order of the turns.
        """
        if self._done():
            return
        queue = FairQueue(tasks, self._snapshot, self._policy, shares, self._charged_s)
        batch: list[Task] = []
        batched, name = 0, ""
        for rules, task in queue:
            self._selector.lanes.behind = queue.behind
            if batch and (rules.batch != name or len(batch) == len(self._selector.lanes.free_s)):
                self._place_batch(name, Queue.of(batch, self._snapshot))
                batch = []
            if self._done():
                return
            if rules.batch:
                if (batched := batched + 1) <= self._policy.batch_size:
                    name = rules.batch
                    batch.append(task)
                    fastest_s = self._snapshot.estimates.terms(task).fastest_s(task.inferences)
                    queue.charge_later(fastest_s if fastest_s < inf else 0.0)
                continue
            placed = self._place_one(rules, task)
            if placed is not None and not placed.starts_now:
                queue.charge_later(placed.busy_s)
        if batch:
            self._place_batch(name, Queue.of(batch, self._snapshot))

    def place(self, rules: RuleSet, tasks: Sequence[Task]) -> None:
        """Place every task of a group on a lane, or record that it is unschedulable."""
        if self._done():
            return
        queue = Queue.of(tasks, self._snapshot)
        if rules.batch:
            self._place_batch(rules.batch, queue)
            return
        keys = ORDERS[rules.order](queue)
        places = np.argsort(keys, kind="stable").tolist()
        for number, place in enumerate(places, start=1):
            self._selector.lanes.behind = len(places) - number
            self._place_one(rules, queue.tasks[place])
            if self._done():
                return

    def _done(self) -> bool:
        return self._starting_only and not self._selector.any_free()

    def _place_one(self, rules: RuleSet, task: Task) -> PlannedTask | None:
        selector = self._selector
        kept = self._kept.get(task.key) if rules.placement in QUEUE_PLACEMENTS else None
        choice = selector.choice(task)
        lane = selector.lane_on(kept) if kept else None
        if lane is None or not choice.busy_s[lane] < inf:  # its device may be gone
            lane = selector.best(choice, rules.placement)
            selector.lanes.turn += lane is not None
        if lane is not None:
            return self._occupy(task, choice.busy_s, lane)
        if not choice.possible:
            self._add_unplanned(task)
        return None

    def _place_batch(self, name: str, queue: Queue) -> None:
        tasks: list[Task] = []
        busy: list[Floats] = []
        for task in queue.tasks:
            if len(tasks) == self._policy.batch_size:
                break
            choice = self._selector.choice(task)
            if choice.possible:
                tasks.append(task)
                busy.append(choice.busy_s)
            else:
                self._add_unplanned(task)
        if not tasks:
            return
        busy_s = np.stack(busy)
        ages_s = self._snapshot.now_s - np.array([task.created_s for task in tasks])
        batch = Batch(busy_s, self._selector.lanes.free_s.copy(), ages_s)
        for place, lane in BATCHES[name](batch):
            self._occupy(tasks[place], busy_s[place], lane)
            if self._done():
                return

    def _add_unplanned(self, task: Task) -> None:
        self._unplanned[task.key] = task
        self._late_s[task.key] = self._selector.finish_s(task)

    def _occupy(self, task: Task, busy_s: Floats, lane: int) -> PlannedTask | None:
        """Put a task on a lane, unless its namespace already holds as much as it may."""
        start_s, task_s = float(self._selector.lanes.free_s[lane]), float(busy_s[lane])
        if start_s <= 0.0 and self._shares is not None:
            charged_s = self._charged_s.get(task.namespace, 0.0)
            if self._shares.exceeds_limit(task.namespace, charged_s, task_s):
                self._limited.add(task.key)
                return None
            self._charged_s[task.namespace] = charged_s + task_s
        candidates = self._candidates(task, busy_s, lane) if start_s <= 0.0 else ()
        device = self._snapshot.estimates.device_of[lane]
        planned = PlannedTask(task, device, start_s, task_s, candidates)
        self._planned.append(planned)
        self._selector.occupy(lane, start_s + task_s)
        return planned

    def _candidates(self, task: Task, busy_s: Floats, chosen: int) -> tuple[FinishEstimate, ...]:
        """The selected device, then those with the next earliest finish, one lane of each."""
        free_s, estimates = self._selector.lanes.free_s, self._snapshot.estimates
        finish_s = free_s + busy_s
        finish_s[chosen] = -inf
        candidates: dict[DeviceId, FinishEstimate] = {}
        for lane in _smallest(finish_s, self._policy.candidates_kept * self._selector.most_slots):
            device = estimates.device_of[lane]
            if len(candidates) < self._policy.candidates_kept and device.id not in candidates:
                candidates[device.id] = estimates.finish_estimate(task, lane, float(free_s[lane]))
        return tuple(candidates.values())


def _smallest(values: Floats, count: int) -> Sequence[int]:
    """Indices of the smallest finite values, smallest first."""
    if count < len(values):
        places = np.argpartition(values, count - 1)[:count] if count else np.array([], np.int64)
    else:
        places = np.arange(len(values))
    ranked = places[np.lexsort((places, values[places]))]
    return [int(index) for index in ranked.tolist() if values[index] < inf]
