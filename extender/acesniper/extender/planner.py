"""Plans at every event, and admits what should start now.

A task's pod waits behind a scheduling gate. When the plan says that its device has a free slot now,
the planner reserves the slot in the ledger and opens the gate towards that node. Pods that were
admitted and never bound are withdrawn (deleted by UID); the operator makes them anew, gated, and no
retry is counted.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from acesniper.api.decision import Decision
from acesniper.api.names import DECISION_ANNOTATION, DEVICE_ANNOTATION, REFUSED_ANNOTATION
from acesniper.api.pod import PodView
from acesniper.domain.errors import AcesniperError
from acesniper.extender.admission import admission_patch
from acesniper.extender.book import DecisionBook
from acesniper.extender.fleet import Fleet
from acesniper.extender.metrics import ExtenderMetrics
from acesniper.policies.feasibility import judge
from acesniper.policies.plan import LATE, Plan, Planned, make_plan
from acesniper.policies.policy import Policy
from acesniper.policies.snapshot import Snapshot
from acesniper.runtime.kube import PODS, Cluster

log = logging.getLogger(__name__)

PARALLEL_ADMISSIONS = 32
REASONS_KEPT = 10


@dataclass(slots=True)
class Planner:
    """Turns events into plans, and plans into admissions."""

    fleet: Fleet
    cluster: Cluster
    policy: Policy
    book: DecisionBook
    metrics: ExtenderMetrics
    replan_s: float = 1.0
    settle_s: float = 0.02
    plan: Plan = field(default_factory=Plan)
    _snapshot: Snapshot | None = None
    """What the plan was made on."""
    _unreachable: list[tuple[PodView, str]] = field(default_factory=list)
    """Gated pods whose deadline the plan found out of reach, and why."""
    _slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(PARALLEL_ADMISSIONS)
    )

    async def run(self) -> None:
        """Plan for ever: at every event, and every `replan_s` while tasks wait."""
        async with asyncio.TaskGroup() as admissions:
            while True:
                timeout_s = self.replan_s if self.plan.planned or len(self.fleet.ledger) else None
                try:
                    async with asyncio.timeout(timeout_s):
                        await self.fleet.changed.wait()
                except TimeoutError:
                    pass
                await asyncio.sleep(self.settle_s)
                self.fleet.changed.clear()
                for planned, pod in self.decide():
                    admissions.create_task(self._admit(planned, pod))
                for pod in self.fleet.expired():
                    admissions.create_task(self._withdraw(pod))
                for pod, reason in self._unreachable:
                    admissions.create_task(self._refuse(pod, reason))

    def decide(self) -> list[tuple[Planned, PodView]]:
        """Make the plan, and reserve for every task that should start now and has its pod."""
        tasks, gated = self.fleet.waiting()
        ready = [task for task in tasks if task.key in gated]
        behind = [task for task in tasks if task.key not in gated]
        with self.metrics.plan_seconds.time():
            snapshot = self.fleet.snapshot()
            self.plan = make_plan(ready, snapshot, self.policy, behind, self.plan)
        self.metrics.queue_length.set(len(tasks))
        oldest_s = min((task.created_s for task in tasks), default=self.fleet.clock())
        self.metrics.queue_age_seconds.set(max(self.fleet.clock() - oldest_s, 0.0))
        self._snapshot = snapshot
        self._unreachable = list(_out_of_reach(self.plan, snapshot, gated))
        admitted = []
        for planned in self.plan.planned:
            pod = gated.get(planned.task.key)
            if planned.starts_now and pod is not None:
                self.fleet.reserve(pod, planned.device, planned.busy_s)
                admitted.append((planned, pod))
        return admitted

    async def _admit(self, planned: Planned, pod: PodView) -> None:
        device = planned.device
        decision = Decision.of(
            planned.task.key,
            planned.candidates,
            self.fleet.clock(),
            self.policy.rules_for(planned.task.priority_class).name,
            self._refused(planned),
        )
        self.book.write(pod.uid, decision)
        annotations = {
            DEVICE_ANNOTATION: device.id,
            DECISION_ANNOTATION: decision.model_dump_json(by_alias=True, exclude={"refused"}),
        }
        try:
            async with self._slots:
                await self.cluster.patch(
                    PODS, pod.name, pod.namespace, admission_patch(pod, device, annotations)
                )
        except AcesniperError as error:
            # The pod changed or is gone: the reservation falls, the next plan decides anew.
            self.fleet.withdraw(pod)
            self.metrics.decisions.labels("admit", "failed").inc()
            log.warning("not admitted: %s", error, extra={"task": planned.task.key})
            return
        self.metrics.decisions.labels("admit", "planned").inc()
        log.info(
            "admitted: %s", decision.sentence(), extra={"task": planned.task.key, "pod": pod.uid}
        )

    def _refused(self, planned: Planned) -> Mapping[str, str]:
        """Why other devices cannot take the task; the first few, for people."""
        if self._snapshot is None:
            return {}
        seen = self._snapshot.estimates
        verdicts = ((each.id, judge(planned.task, each, seen.labels)) for each in seen.devices)
        refused = ((device, verdict.reason) for device, verdict in verdicts if not verdict.feasible)
        return dict(islice(refused, REASONS_KEPT))

    async def _refuse(self, pod: PodView, reason: str) -> None:
        """Tell the operator, by an annotation, that a task's deadline is out of reach."""
        patch = {"metadata": {"annotations": {REFUSED_ANNOTATION: reason}}}
        try:
            await self.cluster.patch(PODS, pod.name, pod.namespace, patch)
        except AcesniperError as error:
            log.warning("not refused: %s", error, extra={"pod": pod.key})
            return
        self.metrics.decisions.labels("admit", "refused").inc()

    async def _withdraw(self, pod: PodView) -> None:
        self.metrics.decisions.labels("admit", "expired").inc()
        log.warning("admitted but not bound in time; withdrawn", extra={"pod": pod.key})
        try:
            await self.cluster.delete(PODS, pod.name, pod.namespace, uid=pod.uid)
        except AcesniperError as error:
            log.warning("not withdrawn: %s", error, extra={"pod": pod.key})
            self.fleet.renew(pod)


def _out_of_reach(
    plan: Plan, snapshot: Snapshot, gated: Mapping[str, PodView]
) -> Iterator[tuple[PodView, str]]:
    """Gated pods of tasks that reject being late and that no device could finish in time.

    A device that is only away for now leaves hope.
    """
    for task in plan.unplanned:
        pod = gated.get(task)
        if pod is None or pod.refused is not None:
            continue
        refused = plan.verdicts(task, snapshot)
        late = [each for each, verdict in refused.items() if verdict.reason.endswith(LATE)]
        if late and all(verdict.lasting for verdict in refused.values()):
            reasons = "; ".join(f"{device} {refused[device].reason}" for device in late[:3])
            yield pod, f"no device can meet the deadline: {reasons}"
