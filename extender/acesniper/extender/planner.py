"""Plans at every event, and admits what should start now.

A task's pod waits behind a scheduling gate. When the plan says that its device has a free slot now,
the planner reserves the slot in the ledger and opens the gate towards that node. Pods that were
admitted and never bound are withdrawn (deleted by UID); the operator makes them anew, gated, and no
retry is counted.

Predictions and plans are made in another thread, on what nothing changes. The world goes on
meanwhile: on the event loop, before a slot is reserved, everything is looked at once more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from acesniper.api.decision import Decision
from acesniper.api.objects import PodView
from acesniper.domain.device import Device
from acesniper.domain.task import Task, TaskKey
from acesniper.extender.admission import Admission
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.metrics import ExtenderMetrics
from acesniper.extender.snapshot import PlanningResult, PlanningSnapshot
from acesniper.policies.plan import Plan, PlannedTask
from acesniper.policies.policy import Policy
from acesniper.policies.select import is_explored

OffLoop = Callable[..., Awaitable[Any]]
MANY_UNGATED = 1000
"""With more tasks that have no pod yet, plans leave them out but for one in a while: nothing of
them can start, and they change nothing for those that can."""
FULL_PLAN_INTERVAL_S = 10.0
"""How often all are planned nevertheless, for those who ask when a task's turn will come."""


@dataclass(slots=True)
class Planner:
    """Turns events into plans, and plans into admissions."""

    fleet: ClusterCache
    admitting: Admission
    policy: Policy
    metrics: ExtenderMetrics
    replan_s: float = 1.0
    settle_s: float = 0.02
    off_loop: OffLoop = asyncio.to_thread
    """How to work out what takes long."""
    may_act: Callable[[], bool] = lambda: True
    """Whether no other planner acts; asked before anything is planned or admitted."""
    plan: Plan = field(default_factory=Plan)
    made_s: float = 0.0
    """When the plan was made, in seconds since the epoch."""
    queue: tuple[PlannedTask, ...] = ()
    """What the last plan of everything said of the tasks that had no pod then."""
    predicted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the latency table was complete."""
    _all_planned_s: float = float("-inf")

    async def run(self) -> None:
        """Plan for ever: at every event, and every `replan_s` while tasks wait or run."""
        async with asyncio.TaskGroup() as calls:
            while True:
                await self._news()
                self.fleet.changed.clear()
                await self._predict()
                if self.may_act():
                    await self._plan(calls)
                else:
                    self._tell_nothing()

    async def _news(self) -> None:
        idle = not len(self.fleet.waiting) and not len(self.fleet.ledger)
        try:
            async with asyncio.timeout(None if idle else self.replan_s):
                await self.fleet.changed.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self.settle_s)

    async def _predict(self) -> None:
        """Bring the latency table up to date."""
        if (news := self.fleet.table.news()) is not None:
            with self.metrics.predict_seconds.time():
                done = await self.off_loop(news.predicted, self.fleet.table.predictor)
            self.fleet.take_predictions(done)
        self.predicted.set()

    async def _plan(self, calls: asyncio.TaskGroup) -> None:
        picture = self._picture()
        with self.metrics.plan_seconds.time():
            decisions = await self.off_loop(picture.decide, self.policy, self.plan)
        if not self.may_act():
            return
        for pod, device, decision in self.reserve(decisions):
            calls.create_task(self.admitting.admit(pod, device, decision))
        for pod in self.fleet.expired():
            calls.create_task(self.admitting.withdraw(pod))
        for task, reason in decisions.hopeless.items():
            if (waits := self._still_waits(decisions, task)) is not None:
                calls.create_task(self.admitting.refuse(waits, reason))

    def rows(self) -> Iterator[PlannedTask]:
        """The plan in its order, and behind it what is known of tasks that it left out."""
        yield from self.plan.planned
        planned = {each.task.key for each in self.plan.planned}
        behind = self.fleet.waiting.behind
        yield from (
            each for each in self.queue if each.task.key in behind and each.task.key not in planned
        )

    def _picture(self) -> PlanningSnapshot:
        """What to plan on: everything, or only what can start while very many wait behind it."""
        picture = self.fleet.picture()
        recent = picture.now_s - self._all_planned_s < FULL_PLAN_INTERVAL_S
        if recent and len(picture.behind) > MANY_UNGATED and not self.policy.keeps_devices:
            return replace(picture, behind=())
        self._all_planned_s = picture.now_s
        return picture

    def decide(self) -> list[tuple[PodView, Device, Decision]]:
        """Plan and reserve here and now."""
        return list(self.reserve(self.fleet.picture().decide(self.policy, self.plan)))

    def reserve(self, decisions: PlanningResult) -> Iterator[tuple[PodView, Device, Decision]]:
        """Promise a slot to every task that should start now, still waits, and still finds room."""
        self.plan, self.made_s = decisions.plan, decisions.picture.now_s
        if decisions.picture.behind:
            gated = decisions.picture.gated
            self.queue = tuple(each for each in self.plan.planned if each.task.key not in gated)
        self._tell_queue()
        self.metrics.plan_moves.inc(decisions.moved)
        for planned, decision in decisions.starting:
            pod = self._still_waits(decisions, planned.task.key)
            if pod is not None and self.fleet.has_room(planned.device.id):
                self.fleet.reserve(pod, planned.device, planned.busy_s)
                at = self.fleet.cold_starts.circumstances(planned.task.model, planned.device)
                brought = {"pulls_image": at.pulls, "fetches_model": at.fetches}
                self._count_exploration(planned.task)
                yield pod, planned.device, decision.model_copy(update=brought)

    def _still_waits(self, decisions: PlanningResult, task: TaskKey) -> PodView | None:
        before = decisions.picture.gated[task]
        return self.fleet.still_waits(task, before.uid)

    def _count_exploration(self, task: Task) -> None:
        rules = self.policy.rules_for(task.priority_class)
        if is_explored(task, rules.placement, self.policy):
            self.metrics.explored.inc()

    def _tell_queue(self) -> None:
        waiting, now_s = self.fleet.waiting, self.fleet.clock()
        self.metrics.queue_length.set(len(waiting))
        self.metrics.queue_overdue.set(waiting.overdue(now_s))
        self.metrics.queue_age_seconds.set(waiting.oldest_s(now_s))
        self.metrics.planned_at.set(now_s)

    def _tell_nothing(self) -> None:
        """Another replica tells of the queue: ours would be added to it, and grow old."""
        metrics = self.metrics
        for each in (metrics.queue_length, metrics.queue_overdue, metrics.queue_age_seconds):
            each.set(0)
        metrics.planned_at.set(0)
