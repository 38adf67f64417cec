"""One run of a discrete-event simulation with the scheduler's reservations and plan.

The scheduler knows what it would know in a cluster: of a running task the predicted remainder, not
the actual end; of a slow device nothing; of a lost device that it is gone. It plans at every event
and, while a device is idle and tasks wait, every second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from heapq import heappop, heappush
from itertools import count
from math import inf, isinf

import numpy as np

from acesniper.domain.device import Device
from acesniper.domain.errors import InvalidInput
from acesniper.domain.reservations import PodUid, Reservation, ReservationLedger
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.policies.estimates import Estimates, FleetSnapshot, PredictionRow
from acesniper.policies.placement import QUEUE_PLACEMENTS
from acesniper.policies.plan import Plan, PlannedTask, make_plan
from acesniper.policies.policy import Policy, RuleSet
from acesniper.policies.shares import ShareAccounts, Shares
from acesniper.simulator.cluster import SimulatedCluster
from acesniper.simulator.latency_source import OnlineLearner
from acesniper.simulator.statistics import CompletedTask

WINDOW = (0.3, 0.6)
"""Start and end of faults, as shares of the time during which tasks arrive."""


@dataclass(frozen=True, slots=True)
class DeviceFault:
    """From `from_s` to `to_s` a device takes `factor` times as long; infinite: it is lost.

    Tasks that run on a lost device are restarted on any device. An infinite `to_s` means that the
    fault is permanent.
    """

    device: int
    from_s: float
    to_s: float
    factor: float = float("inf")


@dataclass(frozen=True, slots=True)
class FaultRates:
    """Shares of devices that are lost, and that become `factor` times slower."""

    lost: float = 0.0
    slow: float = 0.0
    factor: float = 3.0

    def drawn(self, devices: int, span_s: float, seed: int) -> list[DeviceFault]:
        """Draw the faults of a run in which tasks arrive for `span_s`; at most one per device."""
        order = np.random.default_rng([seed, 3]).permutation(devices).tolist()
        lost, slow = round(self.lost * devices), round(self.slow * devices)
        from_s, to_s = (share * span_s for share in WINDOW)
        return [
            *(DeviceFault(device, from_s, to_s) for device in order[:lost]),
            *(
                DeviceFault(device, from_s, to_s, self.factor)
                for device in order[lost : lost + slow]
            ),
        ]


REPLAN_S = 1.0
"""Default of the extender's setting of this name."""


class EventKind(IntEnum):
    """Types of events, in their order at equal times."""

    FINISH = 0
    PACE = 1
    ARRIVAL = 2
    REPLAN = 3


@dataclass(slots=True, eq=False)
class RunningTask:
    """A running task: `left_s` of work remained at `since_s`, at the device's normal speed."""

    task: Task
    device: int
    started_s: float
    left_s: float
    since_s: float
    ends_s: float = inf


class Simulation:
    """State of a simulation; `run` executes it to its end."""

    def __init__(
        self,
        cluster: SimulatedCluster,
        estimated_rows: Mapping[ModelKey, PredictionRow],
        policy: Policy,
        tasks: Sequence[Task],
        faults: Sequence[DeviceFault] = (),
        learner: OnlineLearner | None = None,
        shares: Shares | None = None,
    ) -> None:
        """The scheduler plans with `estimated_rows`, whose rows a learner may replace.

        Without `shares`, the policy orders the tasks of all namespaces.
        """
        self._accounts = None if shares is None else ShareAccounts(shares)
        self._cluster = cluster
        self._rows = estimated_rows
        self._policy = policy
        self._learner = learner
        # Rules with a queue per device place tasks on arrival, whether a device is free or not.
        self._starting_only = RuleSet.named(policy.name).placement not in QUEUE_PLACEMENTS
        self._place = {device.id: place for place, device in enumerate(cluster.devices)}
        self._column = {ModelKey(model): column for column, model in enumerate(cluster.models)}
        self._pace = [1.0] * len(cluster.devices)
        self._estimates = Estimates(cluster.devices, estimated_rows)
        self._ledger = ReservationLedger()
        self._plan = Plan()
        self._waiting: dict[TaskKey, Task] = {}
        self._running: dict[TaskKey, RunningTask] = {}
        self._attempts: dict[TaskKey, int] = {}
        self._finished: list[CompletedTask] = []
        self._number = count()
        self._events: list[tuple[float, EventKind, int, object]] = []
        for task in tasks:
            self._expect(task.created_s, EventKind.ARRIVAL, task)
        for fault in faults:
            self._expect(fault.from_s, EventKind.PACE, (fault.device, fault.factor))
            if fault.to_s < inf:
                self._expect(fault.to_s, EventKind.PACE, (fault.device, 1.0))

    def run(self) -> list[CompletedTask]:
        """Process all events; returns the tasks in order of completion.

        Raises:
            InvalidInput: tasks were left that nothing could start.
        """
        while self._events:
            now_s, kind, _, subject = heappop(self._events)
            self._happen(now_s, kind, subject)
            if not self._events or self._events[0][0] > now_s:
                self._start_planned(now_s)
        if self._waiting:
            raise InvalidInput(f"{len(self._waiting)} tasks were never started: no device is left")
        return self._finished

    def _expect(self, at_s: float, kind: EventKind, subject: object = None) -> None:
        heappush(self._events, (at_s, kind, next(self._number), subject))

    def _happen(self, now_s: float, kind: EventKind, subject: object) -> None:
        match kind, subject:
            case EventKind.ARRIVAL, Task() as task:
                self._waiting[task.key] = task
            case EventKind.FINISH, RunningTask() as run if run.ends_s == now_s:
                self._finish(run)
            case EventKind.PACE, (int(device), float(factor)):
                self._change_pace(device, factor, now_s)

    def _start_planned(self, now_s: float) -> None:
        if not self._waiting:
            return
        ledger = self._ledger
        busy_s = {device: ledger.busy_s(device, now_s) for device in ledger.devices()}
        if self._accounts is not None:
            waiting = {task.namespace for task in self._waiting.values()}
            self._accounts.update(dict(ledger.items()), waiting, now_s)
        self._plan = make_plan(
            list(self._waiting.values()),
            FleetSnapshot(now_s, self._estimates, busy_s),
            self._policy,
            previous=self._plan,
            starting_only=self._starting_only,
            shares=self._accounts,
        )
        for planned in self._plan.planned:
            if planned.starts_now:
                self._start(planned, now_s)
        if self._held_back() and (not self._events or self._events[0][0] > now_s + REPLAN_S):
            self._expect(now_s + REPLAN_S, EventKind.REPLAN)

    def _held_back(self) -> bool:
        """Whether tasks wait for running ones although a device is free."""
        at_work = sum(not isinf(pace) for pace in self._pace)
        return bool(self._waiting) and 0 < len(self._running) < at_work

    def _start(self, planned: PlannedTask, now_s: float) -> None:
        task, place = planned.task, self._place[planned.device.id]
        del self._waiting[task.key]
        self._attempts[task.key] = self._attempts.get(task.key, 0) + 1
        work_s = task.inferences * float(self._cluster.latency_s[place, self._column[task.model]])
        run = self._running[task.key] = RunningTask(task, place, now_s, work_s, now_s)
        self._expect_end(run, now_s)
        reservation = Reservation(
            planned.device.id, planned.busy_s, started_s=now_s, namespace=task.namespace
        )
        self._ledger.reserve(self._pod(task), reservation)
        if self._accounts is not None:
            self._accounts.reserve(self._pod(task), reservation)

    def _expect_end(self, run: RunningTask, now_s: float) -> None:
        run.ends_s = now_s + run.left_s * self._pace[run.device]
        self._expect(run.ends_s, EventKind.FINISH, run)

    def _finish(self, run: RunningTask) -> None:
        self._leave(run)
        attempts = self._attempts[run.task.key]
        self._finished.append(
            CompletedTask(run.task, run.device, run.started_s, run.ends_s, attempts)
        )
        if self._learner is not None:
            latency_s = (run.ends_s - run.started_s) / run.task.inferences
            self._learner.observe(run.device, self._column[run.task.model], latency_s)

    def _leave(self, run: RunningTask) -> None:
        del self._running[run.task.key]
        self._ledger.release(self._pod(run.task))

    def _pod(self, task: Task) -> PodUid:
        """The pod of the task's current attempt."""
        return PodUid(f"{task.key}-{self._attempts[task.key]}")

    def _change_pace(self, device: int, factor: float, now_s: float) -> None:
        """Change a device's speed: it is lost (infinite), restored or `factor` times slower."""
        before, self._pace[device] = self._pace[device], factor
        for run in [task for task in self._running.values() if task.device == device]:
            run.left_s -= (now_s - run.since_s) / before
            run.since_s, run.ends_s = now_s, inf
            if isinf(factor):
                self._leave(run)
                self._waiting[run.task.key] = run.task
            else:
                self._expect_end(run, now_s)
        if isinf(factor) or isinf(before):
            self._estimates = Estimates(self._devices(), self._rows)

    def _devices(self) -> list[Device]:
        """The devices; lost ones are not schedulable."""
        pairs = zip(self._cluster.devices, self._pace, strict=True)
        return [replace(device, schedulable=not isinf(pace)) for device, pace in pairs]
