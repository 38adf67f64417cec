"""The plan: which waiting task goes to which device, and when it should start.

Tasks are taken in turn; each gets the device that its rules prefer, behind what runs there and what
the plan gave it before. A task whose best device is busy is *held back* for it instead of starting
at once on a slow, idle one. The plan is made anew at every event, so it is a pure function of what
is known.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import inf

import numpy as np

from acesniper.domain.device import Device, DeviceId
from acesniper.domain.prediction import Feasibility, FinishEstimate
from acesniper.domain.task import Task, TaskKey
from acesniper.policies.batch import BATCHES, Batch
from acesniper.policies.estimates import EXCLUDED, FleetSnapshot, Floats, check_feasibility
from acesniper.policies.order import ORDERS, Queue
from acesniper.policies.placement import QUEUE_PLACEMENTS
from acesniper.policies.policy import Policy, RuleSet
from acesniper.policies.select import LaneSelector

DEADLINE_TEXT = "the deadline"
AGED_RULES = "fcfs-mct"
"""The rules for tasks that have waited too long."""


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task on a device: starts in `start_s` seconds and occupies it for `busy_s`.

    `candidates` has the chosen device first and the next best behind it, for tasks that start now.
    """

    task: Task
    device: Device
    start_s: float
    busy_s: float
    candidates: tuple[FinishEstimate, ...] = ()

    @property
    def starts_now(self) -> bool:
        """Whether a slot of the device is free for it at this moment."""
        return self.start_s <= 0.0

    @property
    def finish_s(self) -> float:
        """Seconds from now until it would be finished."""
        return self.start_s + self.busy_s


@dataclass(frozen=True, slots=True)
class Plan:
    """The waiting tasks that have a device, in planning order, and those that no device can take.

    Tasks in neither wait without a plan: their rules place nothing while everything is busy, or
    the plan was stopped early. `turn` counts choices over a chain of plans.
    """

    planned: tuple[PlannedTask, ...] = ()
    unplanned: Mapping[TaskKey, Task] = field(default_factory=dict)
    turn: int = 0
    late_s: Mapping[TaskKey, Floats] = field(default_factory=dict)
    """For tasks refused for their deadline: when each lane would have finished them."""

    def verdicts(self, task: TaskKey, snapshot: FleetSnapshot) -> dict[DeviceId, Feasibility]:
        """Why each device cannot take a task that has none."""
        unplanned = self.unplanned[task]
        estimates = snapshot.estimates
        found = {}
        for device in estimates.devices:
            verdict = check_feasibility(unplanned, device, estimates.labels)
            if verdict.feasible and device.id in unplanned.excluded:
                verdict = EXCLUDED
            if verdict.feasible:
                finish_s = self.late_s[task][estimates.lane_of[device.id]]
                text = f"would finish {finish_s:.1f} s from now, after {DEADLINE_TEXT}"
                verdict = Feasibility(False, text, lasting=True)
            found[device.id] = verdict
        return found


def make_plan(
    tasks: Iterable[Task],
    snapshot: FleetSnapshot,
    policy: Policy,
    behind: Iterable[Task] = (),
    previous: Plan | None = None,
    *,
    starting_only: bool = False,
) -> Plan:
    """Plan the waiting tasks: O(tasks x lanes).

    Those `behind` cannot start yet, whatever is free: they are planned after all others, so that
    no device stands idle for them. `previous` is the plan before, which rules with a queue on each
    device keep to. With `starting_only` the plan ends as soon as nothing more can start now.
    """
    planning = _Planning(snapshot, policy, previous or Plan(), starting_only)
    for ready in (tasks, behind):
        for rules, together in _planning_groups(ready, snapshot.now_s, policy):
            planning.place(rules, together)
    return planning.plan()


def _planning_groups(
    tasks: Iterable[Task], now_s: float, policy: Policy
) -> Iterator[tuple[RuleSet, list[Task]]]:
    """Who is planned together by which rules: those who waited too long, then by priority."""

    def turn(task: Task) -> tuple[bool, int, str]:
        if now_s - task.created_s >= policy.aging_s:
            return False, 0, ""
        return True, -task.priority, task.priority_class

    for (patient, _, priority_class), group in groupby(sorted(tasks, key=turn), turn):
        rules = policy.rules_for(priority_class) if patient else RuleSet.named(AGED_RULES)
        yield rules, list(group)


class _Planning:
    """A plan in the making."""

    def __init__(
        self, snapshot: FleetSnapshot, policy: Policy, previous: Plan, starting_only: bool
    ) -> None:
        self._snapshot, self._policy, self._starting_only = snapshot, policy, starting_only
        self._kept = {each.task.key: each.device.id for each in previous.planned}
        self._chooser = LaneSelector(snapshot, policy, previous.turn)
        self._planned: list[PlannedTask] = []
        self._unplanned: dict[TaskKey, Task] = {}
        self._late_s: dict[TaskKey, Floats] = {}

    def plan(self) -> Plan:
        return Plan(tuple(self._planned), self._unplanned, self._chooser.lanes.turn, self._late_s)

    def place(self, rules: RuleSet, tasks: Sequence[Task]) -> None:
        """Give every task its lane, or note that none can take it."""
        if self._done():
            return
        queue = Queue.of(tasks, self._snapshot)
        if rules.batch:
            self._place_batch(rules.batch, queue)
            return
        keys = ORDERS[rules.order](queue)
        places = np.argsort(keys, kind="stable").tolist()
        for number, place in enumerate(places, start=1):
            self._chooser.lanes.behind = len(places) - number
            self._place_one(rules, queue.tasks[place])
            if self._done():
                return

    def _done(self) -> bool:
        return self._starting_only and not self._chooser.any_free()

    def _place_one(self, rules: RuleSet, task: Task) -> None:
        chooser = self._chooser
        kept = self._kept.get(task.key) if rules.placement in QUEUE_PLACEMENTS else None
        choice = chooser.choice(task)
        lane = chooser.lane_on(kept) if kept else None
        if lane is None or not choice.busy_s[lane] < inf:  # its device may have been lost
            lane = chooser.best(choice, rules.placement)
            chooser.lanes.turn += lane is not None
        if lane is not None:
            self._occupy(task, choice.busy_s, lane)
        elif not choice.possible:
            self._refuse(task)

    def _place_batch(self, name: str, queue: Queue) -> None:
        tasks: list[Task] = []
        busy: list[Floats] = []
        for task in queue.tasks:
            if len(tasks) == self._policy.batch_size:
                break
            choice = self._chooser.choice(task)
            if choice.possible:
                tasks.append(task)
                busy.append(choice.busy_s)
            else:
                self._refuse(task)
        if not tasks:
            return
        busy_s = np.stack(busy)
        ages_s = self._snapshot.now_s - np.array([task.created_s for task in tasks])
        batch = Batch(busy_s, self._chooser.lanes.free_s.copy(), ages_s)
        for place, lane in BATCHES[name](batch):
            self._occupy(tasks[place], busy_s[place], lane)
            if self._done():
                return

    def _refuse(self, task: Task) -> None:
        self._unplanned[task.key] = task
        self._late_s[task.key] = self._chooser.finish_s(task)

    def _occupy(self, task: Task, busy_s: Floats, lane: int) -> None:
        start_s = float(self._chooser.lanes.free_s[lane])
        candidates = self._candidates(task, busy_s, lane) if start_s <= 0.0 else ()
        device = self._snapshot.estimates.device_of[lane]
        self._planned.append(PlannedTask(task, device, start_s, float(busy_s[lane]), candidates))
        self._chooser.occupy(lane, start_s + float(busy_s[lane]))

    def _candidates(self, task: Task, busy_s: Floats, chosen: int) -> tuple[FinishEstimate, ...]:
        """The chosen device, then those where the task would finish next, one lane of each."""
        free_s, estimates = self._chooser.lanes.free_s, self._snapshot.estimates
        finish_s = free_s + busy_s
        finish_s[chosen] = -inf
        found: dict[DeviceId, FinishEstimate] = {}
        for lane in _smallest(finish_s, self._policy.candidates_kept * self._chooser.most_slots):
            device = estimates.device_of[lane]
            if len(found) < self._policy.candidates_kept and device.id not in found:
                found[device.id] = estimates.completion(task, lane, float(free_s[lane]))
        return tuple(found.values())


def _smallest(values: Floats, count: int) -> Sequence[int]:
    """Where the smallest finite values stand, smallest first."""
    if count < len(values):
        places = np.argpartition(values, count - 1)[:count] if count else np.array([], np.int64)
    else:
        places = np.arange(len(values))
    ranked = places[np.lexsort((places, values[places]))]
    return [int(each) for each in ranked.tolist() if values[each] < inf]
