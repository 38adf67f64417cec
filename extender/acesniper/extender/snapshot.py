"""The planning snapshot: an immutable copy of the state that one plan is made from.

It is taken on the event loop in a fraction of a millisecond. The plan and the reasons of its
decisions may then be computed in another thread while watch events are applied.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from acesniper.api.decision import Decision
from acesniper.api.objects import PodView
from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import PodUid, Reservation
from acesniper.domain.task import Task, TaskKey
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.namespaces import NamespaceShares, NamespaceUse
from acesniper.policies.estimates import LIMIT_TEXT, Estimates, FleetSnapshot
from acesniper.policies.feasibility import check_feasibility
from acesniper.policies.node_resources import FreeResources
from acesniper.policies.plan import DEADLINE_TEXT, Plan, PlannedTask, make_plan
from acesniper.policies.policy import Policy

MAX_REASONS = 10
"""Devices whose reason a decision keeps."""
MAX_DEADLINE_REASONS = 3
"""Devices that the message about an unreachable deadline names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningSnapshot:
    """Pending tasks, reservations and estimates at `now_s`, in seconds since the epoch.

    Attributes:
        gated: pending tasks whose gated pod exists; these can be admitted.
        ungated: pending tasks without a pod; they are planned behind the others.
        gated_pods: the pod of each task in `gated`.
        resources: what the pods leave of the nodes' resources.
    """

    now_s: float
    estimates: Estimates
    reservations: Mapping[PodUid, Reservation]
    gated: Sequence[Task]
    ungated: Sequence[Task]
    gated_pods: Mapping[TaskKey, PodView]
    resources: FreeResources = field(default_factory=FreeResources)

    @classmethod
    def of(cls, cache: ClusterCache) -> "PlanningSnapshot":
        """Take a snapshot of the cluster cache."""
        now_s = cache.clock()
        cache.pending.reset_backoff(now_s)
        estimates = cache.estimates.current()
        return cls(
            now_s=now_s,
            estimates=estimates,
            resources=cache.pending.rules.free_resources(estimates.devices),
            reservations=dict(cache.ledger.items()),
            gated=tuple(cache.pending.gated.values()),
            ungated=tuple(cache.pending.ungated.values()),
            gated_pods=dict(cache.pending.gated_pods),
        )

    def fleet(self) -> FleetSnapshot:
        """Return the devices with the remaining time of each occupied slot."""
        busy_s: dict[DeviceId, list[float]] = defaultdict(list)
        for reservation in self.reservations.values():
            remaining_s = reservation.remaining_s(self.now_s)
            busy_s[reservation.device] += [remaining_s] * reservation.slots
        running = {device: tuple(sorted(seconds)) for device, seconds in busy_s.items()}
        return FleetSnapshot(self.now_s, self.estimates, running, self.resources)

    def decide(
        self, policy: Policy, previous: Plan, shares: NamespaceShares | None = None
    ) -> "PlanningResult":
        """Plan all pending tasks, and record the reasons for those that start now."""
        fleet, shares = self.fleet(), shares or NamespaceShares()
        tasks = (*self.gated, *self.ungated)
        accounts = shares.update(self.reservations, tasks, self.now_s)
        plan = make_plan(self.gated, fleet, policy, self.ungated, previous, shares=accounts)
        reasons = _RefusalReasons(self.estimates)
        starting = [
            (planned, self._decision(planned, policy, reasons.of(planned.task)))
            for planned in plan.planned
            if planned.starts_now and planned.task.key in self.gated_pods
        ]
        return PlanningResult(
            snapshot=self,
            plan=plan,
            starting=starting,
            unschedulable=dict(self._unschedulable(plan, fleet)),
            moved=_count_moved(previous, plan),
            namespaces=shares.uses_in(plan, tasks),
        )

    def _decision(
        self, planned: PlannedTask, policy: Policy, refused: Mapping[str, str]
    ) -> Decision:
        rules = policy.rules_for(planned.task.priority_class)
        return Decision.of(planned.task.key, planned.candidates, self.now_s, rules.name, refused)

    def _unschedulable(self, plan: Plan, fleet: FleetSnapshot) -> Iterator[tuple[TaskKey, str]]:
        """Yield tasks that no device can finish in time or within the limit, with reasons.

        A task is left out while a device that is only temporarily unavailable might do it.
        """
        for task in plan.unplanned:
            pod = self.gated_pods.get(task)
            if pod is None or pod.refused is not None:
                continue
            verdicts = plan.infeasible_devices(task, fleet)
            if not all(verdict.lasting for verdict in verdicts.values()):
                continue
            for cause in (DEADLINE_TEXT, LIMIT_TEXT):
                named = [
                    f"{device} {verdict.reason}"
                    for device, verdict in verdicts.items()
                    if cause in verdict.reason
                ]
                if named:
                    reasons = "; ".join(named[:MAX_DEADLINE_REASONS])
                    yield task, f"no device can meet {cause}: {reasons}"
                    break


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningResult:
    """A plan and the decisions that follow from it.

    Attributes:
        snapshot: what the plan was made from.
        starting: tasks to admit now, with their decisions.
        unschedulable: tasks that no device can finish before their deadline, with the reason.
        moved: number of tasks that the previous plan gave to another device.
        namespaces: use of the fleet by namespace; empty without shares.
    """

    snapshot: PlanningSnapshot
    plan: Plan
    starting: Sequence[tuple[PlannedTask, Decision]]
    unschedulable: Mapping[TaskKey, str]
    moved: int = 0
    namespaces: Mapping[str, NamespaceUse] = field(default_factory=dict)


def _count_moved(before: Plan, after: Plan) -> int:
    devices = {planned.task.key: planned.device.id for planned in before.planned}
    return sum(
        devices.get(planned.task.key, planned.device.id) != planned.device.id
        for planned in after.planned
    )


class _RefusalReasons:
    """Why devices cannot run a task: the first few, computed once per distinct demand."""

    def __init__(self, estimates: Estimates) -> None:
        self._estimates = estimates
        self._by_demand: dict[tuple[object, ...], Mapping[str, str]] = {}

    def of(self, task: Task) -> Mapping[str, str]:
        demand = self._estimates.shape(task)
        if (reasons := self._by_demand.get(demand)) is None:
            reasons = dict(islice(self._refused(task), MAX_REASONS))
            self._by_demand[demand] = reasons
        return reasons

    def _refused(self, task: Task) -> Iterator[tuple[str, str]]:
        for device in self._estimates.devices:
            verdict = check_feasibility(
                task, device, self._estimates.nodes, self._estimates.volumes
            )
            if not verdict.feasible:
                yield device.id, verdict.reason
