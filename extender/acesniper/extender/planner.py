"""The planner: plans pending tasks at every event, and admits those that should start now.

The pod of a task waits behind a scheduling gate. When the plan finds a free slot for it, the
planner reserves the slot in the ledger and opens the gate towards that node. Pods that were
admitted and not bound in time are withdrawn (deleted by UID). The operator then creates them again,
gated; no retry is counted.

Predictions and plans are computed in another thread, from an immutable snapshot, while watch events
are applied. Before a slot is reserved, everything is checked again on the event loop.
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
from acesniper.extender.namespaces import NamespaceShares
from acesniper.extender.snapshot import PlanningResult, PlanningSnapshot
from acesniper.policies.plan import Plan, PlannedTask
from acesniper.policies.policy import Policy
from acesniper.policies.select import is_explored

OffLoop = Callable[..., Awaitable[Any]]
MANY_UNGATED = 1000
"""With more ungated tasks than this, most plans leave them out: they cannot start and do not change
what the others get."""
FULL_PLAN_INTERVAL_S = 10.0
"""How often ungated tasks are planned nevertheless, for estimates of their start."""


@dataclass(slots=True, kw_only=True)
class Planner:
    """Turns events into plans, and plans into admissions.

    Attributes:
        replan_s: longest time between two plans while tasks are pending or running.
        batch_s: events within this time share one plan.
        off_loop: runs a function in another thread.
        may_act: whether this replica holds the planner's lease.
        plan: the latest plan.
        planned_at_s: when it was made, in seconds since the epoch.
        ungated_plan: the ungated tasks in the latest plan that included them.
        predicted: set once the latency table was complete.
        shares: accounts of the namespaces, and their use of the fleet in the latest plan.
    """

    cache: ClusterCache
    admission: Admission
    policy: Policy
    metrics: ExtenderMetrics
    replan_s: float = 1.0
    batch_s: float = 0.02
    off_loop: OffLoop = asyncio.to_thread
    may_act: Callable[[], bool] = lambda: True
    plan: Plan = field(default_factory=Plan)
    planned_at_s: float = 0.0
    ungated_plan: tuple[PlannedTask, ...] = ()
    predicted: asyncio.Event = field(default_factory=asyncio.Event)
    shares: NamespaceShares = field(default_factory=NamespaceShares)
    _full_plan_at_s: float = float("-inf")

    async def run(self) -> None:
        """Plan at every event, and every `replan_s` while tasks are pending or running."""
        async with asyncio.TaskGroup() as requests:
            while True:
                await self._wait_for_events()
                self.cache.changed.clear()
                await self._predict()
                if self.may_act():
                    await self._plan_and_act(requests)
                else:
                    self._reset_queue_metrics()

    def plan_now(self) -> list[tuple[PodView, Device, Decision]]:
        """Plan and reserve in this thread."""
        result = PlanningSnapshot.of(self.cache).decide(self.policy, self.plan, self.shares)
        return list(self.reserve(result))

    def reserve(self, result: PlanningResult) -> Iterator[tuple[PodView, Device, Decision]]:
        """Reserve a slot for each starting task that is still pending and whose slot is free."""
        self.plan, self.planned_at_s = result.plan, result.snapshot.now_s
        self.shares.uses = result.namespaces
        if result.snapshot.ungated:
            gated = result.snapshot.gated_pods
            self.ungated_plan = tuple(
                planned for planned in self.plan.planned if planned.task.key not in gated
            )
        self._set_queue_metrics()
        self.metrics.plan_moves.inc(result.moved)
        for planned, decision in result.starting:
            task, device = planned.task, planned.device
            pod = self._gated_pod(result, task.key)
            if pod is not None and self.cache.can_start(pod, device):
                self.cache.reserve(pod, device, planned.busy_s)
                self.shares.reserve(pod.uid, self.cache.ledger.get(pod.uid))
                start = self.cache.cold_starts.cold_start(task.model, device)
                update = {"pulls_image": start.pulls, "fetches_model": start.fetches}
                self._count_exploration(task)
                yield pod, device, decision.model_copy(update=update)

    def queue(self) -> Iterator[PlannedTask]:
        """Yield the plan in order, then ungated tasks from the last plan that included them."""
        yield from self.plan.planned
        in_plan = {planned.task.key for planned in self.plan.planned}
        ungated = self.cache.pending.ungated
        for planned in self.ungated_plan:
            if planned.task.key in ungated and planned.task.key not in in_plan:
                yield planned

    def waiting_reason(self, task: TaskKey) -> str | None:
        """Why a pending task does not start yet; None if it is not in the plan."""
        return self.shares.waiting_reason(task, self.plan, self.queue())

    async def _wait_for_events(self) -> None:
        idle = not len(self.cache.pending) and not len(self.cache.ledger)
        try:
            async with asyncio.timeout(None if idle else self.replan_s):
                await self.cache.changed.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self.batch_s)

    async def _predict(self) -> None:
        """Bring the latency table up to date."""
        table = self.cache.table
        if (pending := table.pending()) is not None:
            with self.metrics.predict_seconds.time():
                predictions = await self.off_loop(pending.predicted, table.predictor)
            self.cache.commit_predictions(predictions)
        self.predicted.set()

    async def _plan_and_act(self, requests: asyncio.TaskGroup) -> None:
        snapshot = self._snapshot()
        with self.metrics.plan_seconds.time():
            result = await self.off_loop(snapshot.decide, self.policy, self.plan, self.shares)
        if not self.may_act():
            return
        for pod, device, decision in self.reserve(result):
            requests.create_task(self._admit(pod, device, decision))
        for pod in self.cache.expire_reservations():
            self.shares.cancel(pod.uid)
            requests.create_task(self.admission.withdraw(pod))
        for task, reason in result.unschedulable.items():
            if (gated_pod := self._gated_pod(result, task)) is not None:
                requests.create_task(self.admission.refuse(gated_pod, reason))

    async def _admit(self, pod: PodView, device: Device, decision: Decision) -> None:
        if not await self.admission.admit(pod, device, decision):
            self.shares.cancel(pod.uid)

    def _snapshot(self) -> PlanningSnapshot:
        """Take a snapshot, without ungated tasks while there are very many of them."""
        snapshot = PlanningSnapshot.of(self.cache)
        recent = snapshot.now_s - self._full_plan_at_s < FULL_PLAN_INTERVAL_S
        if recent and len(snapshot.ungated) > MANY_UNGATED and not self.policy.keeps_devices:
            return replace(snapshot, ungated=())
        self._full_plan_at_s = snapshot.now_s
        return snapshot

    def _gated_pod(self, result: PlanningResult, task: TaskKey) -> PodView | None:
        return self.cache.gated_pod(task, result.snapshot.gated_pods[task].uid)

    def _count_exploration(self, task: Task) -> None:
        rules = self.policy.rules_for(task.priority_class)
        if is_explored(task, rules.placement, self.policy):
            self.metrics.explored.inc()

    def _set_queue_metrics(self) -> None:
        pending, now_s = self.cache.pending, self.cache.clock()
        self.metrics.queue_length.set(len(pending))
        self.metrics.queue_overdue.set(pending.overdue_count(now_s))
        self.metrics.queue_age_seconds.set(pending.oldest_age_s(now_s))
        self.metrics.planned_at.set(now_s)

    def _reset_queue_metrics(self) -> None:
        """Report no queue: the replica that holds the lease does, and sums would count it twice."""
        metrics = self.metrics
        for gauge in (metrics.queue_length, metrics.queue_overdue, metrics.queue_age_seconds):
            gauge.set(0)
        metrics.planned_at.set(0)
