"""What each namespace holds, has used and waits for, and why a task of it does not start yet."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isinf

from acesniper.api.objects import Json
from acesniper.api.units import duration_text
from acesniper.domain.reservations import PodUid, Reservation
from acesniper.domain.task import Task, TaskKey
from acesniper.policies.plan import Plan, PlannedTask
from acesniper.policies.shares import ShareAccounts

LIMITS_VALUE = "scheduling.settings.namespaceLimits"
WEIGHTS_VALUE = "scheduling.settings.namespaceWeights"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceUse:
    """Use of the fleet by a namespace, in predicted device seconds.

    Attributes:
        waiting_s: what its waiting tasks are planned to take; unplanned ones do not count.
        held_s: what remains of its pods that hold devices.
        used_s: what its pods used that ended since the planner started.
        account_s: account relative to the smallest one of a namespace with waiting tasks.
        limit_s: what it may hold at once; infinite without a limit.
    """

    namespace: str
    weight: float
    waiting: int
    waiting_s: float
    held_s: float
    used_s: float
    account_s: float
    limit_s: float

    def row(self) -> Json:
        """The use as JSON."""
        return {
            "namespace": self.namespace,
            "weight": self.weight,
            "waitingTasks": self.waiting,
            "waitingSeconds": round(self.waiting_s, 3),
            "heldSeconds": round(self.held_s, 3),
            "usedSeconds": round(self.used_s, 3),
            "accountSeconds": round(self.account_s, 3),
            "limitSeconds": None if isinf(self.limit_s) else self.limit_s,
        }


@dataclass(slots=True)
class NamespaceShares:
    """The accounts of the namespaces, and their uses in the latest plan.

    Attributes:
        accounts: None if the policy orders the tasks of all namespaces.
        uses: use of each namespace that waits, holds devices or has used some, by name.
    """

    accounts: ShareAccounts | None = None
    uses: Mapping[str, NamespaceUse] = field(default_factory=dict)

    def reserve(self, pod: PodUid, reservation: Reservation | None) -> None:
        """Charge a pod that is being admitted."""
        if self.accounts is not None and reservation is not None:
            self.accounts.reserve(pod, reservation)

    def cancel(self, pod: PodUid) -> None:
        """Do not charge a pod that was admitted and is not bound."""
        if self.accounts is not None:
            self.accounts.cancel(pod)

    def update(
        self, reservations: Mapping[PodUid, Reservation], tasks: Iterable[Task], now_s: float
    ) -> ShareAccounts | None:
        """Bring the accounts up to date before a plan; runs in the planning thread."""
        if self.accounts is not None:
            self.accounts.update(reservations, {task.namespace for task in tasks}, now_s)
        return self.accounts

    def uses_in(self, plan: Plan, tasks: Iterable[Task]) -> Mapping[str, NamespaceUse]:
        """The use of each namespace in a plan of these waiting tasks."""
        accounts = self.accounts
        if accounts is None:
            return {}
        counts = Counter(task.namespace for task in tasks)
        waiting_s: dict[str, float] = defaultdict(float)
        for planned in plan.planned:
            waiting_s[planned.task.namespace] += planned.busy_s
        names = sorted({*counts, *accounts.held_s, *accounts.used_s})
        least_s = min(map(accounts.account_s, counts), default=accounts.reached_s)
        return {
            name: NamespaceUse(
                namespace=name,
                weight=accounts.shares.weight(name),
                waiting=counts[name],
                waiting_s=waiting_s[name],
                held_s=accounts.held_s.get(name, 0.0),
                used_s=accounts.used_s.get(name, 0.0),
                account_s=max(accounts.account_s(name) - least_s, 0.0),
                limit_s=accounts.shares.limit_s(name),
            )
            for name in names
        }

    def waiting_reason(self, task: TaskKey, plan: Plan, queue: Iterable[PlannedTask]) -> str | None:
        """Why a pending task does not start yet, in one sentence; None if it is not planned."""
        use = self.uses.get(task.partition("/")[0])
        if use is not None and task in plan.limited:
            return (
                f"namespace {use.namespace} holds {duration_text(use.held_s)} of predicted device"
                " time; with this task it would exceed its limit of"
                f" {duration_text(use.limit_s)} ({LIMITS_VALUE})"
            )
        before: Counter[str] = Counter()
        for planned in queue:
            if planned.task.key == task:
                return _turn(planned, before, use)
            before[planned.task.namespace] += 1
        return None


def _turn(planned: PlannedTask, before: Counter[str], use: NamespaceUse | None) -> str:
    namespace, device = planned.task.namespace, planned.device.id
    others = before.total() - before[namespace]
    if planned.starts_now:
        return f"starts on {device} now"
    start = f"waits for {device}, which is planned for it in {duration_text(planned.start_s)}"
    if use is None or not others:
        return f"{start}; tasks before it: {before[namespace]}"
    return (
        f"waits for the share of namespace {namespace}, weight {use.weight:g} ({WEIGHTS_VALUE}):"
        f" tasks before it: {others} of other namespaces, {before[namespace]} of its own; {start}"
    )
