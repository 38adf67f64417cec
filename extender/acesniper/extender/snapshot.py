"""What a plan is made on: everything at one moment, which nothing changes afterwards.

It is taken on the event loop in a fraction of a millisecond; the plan itself, and the reasons for
what it decides, may be worked out in another thread while watches go on.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from acesniper.api.decision import Decision
from acesniper.api.objects import PodView
from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import Reservation
from acesniper.domain.task import Task, TaskKey
from acesniper.policies.estimates import Estimates, FleetSnapshot, check_feasibility
from acesniper.policies.plan import DEADLINE_TEXT, Plan, PlannedTask, make_plan
from acesniper.policies.policy import Policy

REASONS_KEPT = 10


@dataclass(frozen=True, slots=True)
class PlanningSnapshot:
    """Tasks that are `ready` have their pod, in `gated`; those `behind` have none yet."""

    now_s: float
    estimates: Estimates
    promises: Sequence[Reservation]
    ready: Sequence[Task]
    behind: Sequence[Task]
    gated: Mapping[TaskKey, PodView]

    def snapshot(self) -> FleetSnapshot:
        """The fleet, for a plan."""
        busy: dict[DeviceId, list[float]] = defaultdict(list)
        for each in self.promises:
            busy[each.device] += [each.remaining_s(self.now_s)] * each.slots
        running = {device: tuple(sorted(each)) for device, each in busy.items()}
        return FleetSnapshot(self.now_s, self.estimates, running)

    def decide(self, policy: Policy, previous: Plan) -> "PlanningResult":
        """Plan everything that waits, and say why what starts now starts where it does."""
        snapshot = self.snapshot()
        plan = make_plan(self.ready, snapshot, policy, self.behind, previous)
        starting = [
            each for each in plan.planned if each.starts_now and each.task.key in self.gated
        ]
        reasons = _Reasons(self.estimates)
        return PlanningResult(
            self,
            plan,
            [(each, self._decision(each, policy, reasons.of(each.task))) for each in starting],
            dict(self._out_of_reach(plan, snapshot)),
            _moved(previous, plan),
        )

    def _decision(
        self, planned: PlannedTask, policy: Policy, refused: Mapping[str, str]
    ) -> Decision:
        rules = policy.rules_for(planned.task.priority_class)
        return Decision.of(planned.task.key, planned.candidates, self.now_s, rules.name, refused)

    def _out_of_reach(self, plan: Plan, snapshot: FleetSnapshot) -> Iterator[tuple[TaskKey, str]]:
        """Tasks that reject being late and that no device could finish in time, and why.

        A device that is only away for now leaves hope.
        """
        for task in plan.unplanned:
            pod = self.gated.get(task)
            if pod is None or pod.refused is not None:
                continue
            refused = plan.infeasible_devices(task, snapshot)
            late = [
                each for each, verdict in refused.items() if verdict.reason.endswith(DEADLINE_TEXT)
            ]
            if late and all(verdict.lasting for verdict in refused.values()):
                reasons = "; ".join(f"{device} {refused[device].reason}" for device in late[:3])
                yield task, f"no device can meet the deadline: {reasons}"


@dataclass(frozen=True, slots=True)
class PlanningResult:
    """A plan; what starts now, with its reasons; and tasks that come too late, with theirs.

    `moved` counts the tasks whose device is another than in the plan before.
    """

    picture: PlanningSnapshot
    plan: Plan
    starting: Sequence[tuple[PlannedTask, Decision]]
    hopeless: Mapping[TaskKey, str]
    moved: int = 0


def _moved(before: Plan, after: Plan) -> int:
    was = {each.task.key: each.device.id for each in before.planned}
    return sum(was.get(each.task.key, each.device.id) != each.device.id for each in after.planned)


class _Reasons:
    """Why devices cannot take a task: the first few, for people; once for all of a demand."""

    def __init__(self, estimates: Estimates) -> None:
        self._estimates = estimates
        self._known: dict[tuple[object, ...], Mapping[str, str]] = {}

    def of(self, task: Task) -> Mapping[str, str]:
        demand = (task.providers, task.node_selector, task.memory_bytes)
        if (known := self._known.get(demand)) is None:
            known = self._known[demand] = dict(islice(self._refused(task), REASONS_KEPT))
        return known

    def _refused(self, task: Task) -> Iterator[tuple[str, str]]:
        for device in self._estimates.devices:
            verdict = check_feasibility(task, device, self._estimates.labels)
            if not verdict.feasible:
                yield device.id, verdict.reason
