"""Selection of a lane for one task, given the lanes as the plan has filled them so far."""

from collections.abc import Iterable
from math import inf

import numpy as np

from acesniper.domain.device import DeviceId
from acesniper.domain.task import Task
from acesniper.policies.estimates import FleetSnapshot, Floats
from acesniper.policies.placement import PLACEMENTS, Lanes, TaskLanes, stable_hash
from acesniper.policies.policy import Policy

HASH_RANGE = 2**32
EXPLORING_PLACEMENTS = frozenset({"mct", "advantage"})
"""Placement rules with exploration: a task may go to another device with almost the same finish."""


def is_explored(task: Task, placement: str, policy: Policy) -> bool:
    """Whether a task explores: it goes to the least certain device among the almost earliest."""
    if placement not in EXPLORING_PLACEMENTS or task.deadline_s is not None:
        return False
    return bool(policy.explore_share) and stable_hash(task) < policy.explore_share * HASH_RANGE


class LaneSelector:
    """Selects lanes for tasks and keeps track of the lanes' occupancy."""

    def __init__(self, snapshot: FleetSnapshot, policy: Policy, turn: int) -> None:
        self._snapshot, self._policy = snapshot, policy
        self._reach = policy.deadline_reach
        estimates = snapshot.estimates
        self.most_slots = max((device.slots for device in estimates.devices), default=1)
        queued = np.zeros(len(estimates.device_of), np.int64)
        for device, busy in snapshot.busy_s.items():
            if (lane := estimates.lane_of.get(device)) is not None:
                queued[lane] = len(busy)
        self.lanes = Lanes(snapshot.free_s(), queued, turn)
        self._free = int((self.lanes.free_s <= 0.0).sum())

    def any_free(self) -> bool:
        """Whether any lane is free now."""
        return self._free > 0

    def choice(self, task: Task) -> TaskLanes:
        """Occupancy of each lane by a task; infinite where infeasible or past a strict deadline."""
        busy_s = self._feasible_s(task)
        if task.deadline_s is not None and task.reject_late:
            early_s = self._snapshot.estimates.terms(task).early_s(task.inferences)
            slack_s = task.deadline_s - self._snapshot.now_s
            busy_s = np.where(self.lanes.free_s + early_s <= slack_s, busy_s, inf)
        return TaskLanes(task, busy_s, self._snapshot.estimates.terms(task).misfit)

    def best(self, choice: TaskLanes, placement: str) -> int | None:
        """The lane that a placement rule selects; None if the task keeps waiting."""
        costs = PLACEMENTS[placement](choice, self.lanes)
        if choice.task.deadline_s is not None:
            costs = self._meeting_deadline(choice.task, costs)
        lane = int(costs.argmin()) if len(costs) else -1
        if lane < 0 or not costs[lane] < inf:
            return None
        if placement in EXPLORING_PLACEMENTS:
            explores = is_explored(choice.task, placement, self._policy)
            return self._least_certain(choice) if explores else lane
        best = np.flatnonzero(costs == costs[lane])
        return int(best[(self.lanes.free_s[best] + choice.busy_s[best]).argmin()])

    def lane_on(self, device: DeviceId) -> int | None:
        """The lane of a device that is free first; None if the device is gone."""
        lane = self._snapshot.estimates.lane_of.get(device)
        if lane is None:
            return None
        slots = self._snapshot.estimates.device_of[lane].slots
        return lane + int(self.lanes.free_s[lane : lane + slots].argmin())

    def finish_s(self, task: Task) -> Floats:
        """Seconds until each lane would finish a task."""
        return self.lanes.free_s + self._feasible_s(task)

    def occupy(self, lane: int, until_s: float) -> None:
        """Occupy a lane until `until_s` seconds from now."""
        lanes = self.lanes
        self._free -= bool(lanes.free_s[lane] <= 0.0)
        lanes.free_s[lane] = until_s
        lanes.queued[lane] += 1

    def _feasible_s(self, task: Task) -> Floats:
        terms, max_run_s = self._snapshot.estimates.terms(task), self._policy.max_run_s
        busy_s = terms.busy_s(task.inferences)
        if task.inferences * terms.slowest_s > max_run_s:
            busy_s = np.where(task.inferences * terms.latency_s > max_run_s, inf, busy_s)
        self._exclude(task.excluded, busy_s)
        self._exclude_full_nodes(task, busy_s)
        if task.avoided:
            elsewhere_s = busy_s.copy()
            self._exclude(task.avoided, elsewhere_s)
            if np.isfinite(elsewhere_s).any():
                return elsewhere_s
        return busy_s

    def _exclude(self, devices: Iterable[DeviceId], busy_s: Floats) -> None:
        """Make the lanes of some devices infeasible, in place."""
        for device in devices:
            if (lane := self._snapshot.estimates.lane_of.get(device)) is not None:
                slots = self._snapshot.estimates.device_of[lane].slots
                busy_s[lane : lane + slots] = inf

    def _exclude_full_nodes(self, task: Task, busy_s: Floats) -> None:
        """Make lanes infeasible, in place, whose node has not what the task requests."""
        now, later = self._snapshot.resources.fitting(task.pod_rules.requests)
        places = self._snapshot.estimates.places
        if later is not None:
            busy_s[~later[places]] = inf
        if now is not None:
            # The slot is free, but other pods still use what the task requests of the node.
            busy_s[(self.lanes.free_s <= 0.0) & ~now[places]] = inf

    def _meeting_deadline(self, task: Task, costs: Floats) -> Floats:
        """Costs restricted to the lanes that meet the deadline, if there are any."""
        terms = self._snapshot.estimates.terms(task)
        late_s = self.lanes.free_s + terms.late_s(task.inferences, self._reach)
        slack_s = (task.deadline_s or 0.0) - self._snapshot.now_s
        in_time = (late_s <= slack_s) & np.isfinite(costs)
        return np.where(in_time, costs, inf) if in_time.any() else costs

    def _least_certain(self, choice: TaskLanes) -> int:
        """The lane with the widest interval among those with an almost earliest finish."""
        terms = self._snapshot.estimates.terms(choice.task)
        finish_s = self.lanes.free_s + choice.busy_s
        near = np.flatnonzero(finish_s <= finish_s.min() * (1.0 + self._policy.explore_within))
        width = terms.high_s[near] / terms.low_s[near]
        return int(near[width.argmax()])
