"""Fair shares: the namespace whose task is planned next.

Each namespace has an account of the device seconds of its pods, divided by its weight. The
namespace with the smallest account is next (start-time fair queueing; Goyal, Vin and Cheng,
IEEE/ACM Trans. Networking 5, 1997). A pod is charged what it is predicted to take when it is
admitted; while it runs longer than predicted its charge grows, and when it ends its charge becomes
what it used. The policy orders the tasks of one namespace and selects devices; no device is left
idle for a share.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from math import inf

import numpy as np

from acesniper.domain.reservations import PodUid, Reservation
from acesniper.domain.task import Task
from acesniper.policies.estimates import FleetSnapshot
from acesniper.policies.order import ORDERS, Queue
from acesniper.policies.policy import Policy, RuleSet

CREDIT_S = 120.0
"""A namespace that could not use its share, because the devices that its tasks need were busy, may
catch up on this many device seconds per unit of weight."""
MAX_IDLE = 500
"""Namespaces without tasks whose debts and use are kept: those with the largest debts."""
OTHERS = "*"
"""In weights and limits: every namespace that is not named."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What the administrator grants each namespace.

    Attributes:
        weights: share of a namespace relative to others; 1 for namespaces that are not named.
        limits_s: predicted device seconds that the pods of a namespace may hold at once; its
            further tasks wait. A namespace that holds nothing may always start one task.
        cluster_priorities: whether a priority class counts in the whole cluster, before shares. By
            default it orders the tasks of one namespace.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    limits_s: Mapping[str, float] = field(default_factory=dict)
    cluster_priorities: bool = False

    def __post_init__(self) -> None:
        for name, value in (*self.weights.items(), *self.limits_s.items()):
            if not 0.0 < value < inf:
                raise ValueError(f"must be a positive number: {name}={value}")

    def weight(self, namespace: str) -> float:
        """Weight of a namespace."""
        return self.weights.get(namespace, self.weights.get(OTHERS, 1.0))

    def limit_s(self, namespace: str) -> float:
        """Device seconds that a namespace may hold at once; infinite without a limit."""
        return self.limits_s.get(namespace, self.limits_s.get(OTHERS, inf))


@dataclass(frozen=True, slots=True)
class Charge:
    """What a namespace is charged for one pod, and since when the pod runs."""

    namespace: str
    seconds: float
    started_s: float | None
    slots: int

    def used_s(self, now_s: float) -> float:
        """Device seconds that the pod has used; 0 before its start."""
        return 0.0 if self.started_s is None else max(now_s - self.started_s, 0.0) * self.slots


@dataclass(slots=True)
class ShareAccounts:
    """The account of each namespace, in device seconds per unit of weight.

    `update` brings it up to date with the reservations; it depends on states, not on events. What a
    new process does not know is which debts tasks that ended before have left: at most one task of
    each namespace. `held_s` are the predicted remaining device seconds of each namespace's pods,
    `used_s` what its ended pods have used since the process started. `reached_s` is the account at
    which the last task started: a namespace without waiting tasks collects no credit below it.
    """

    shares: Shares = field(default_factory=Shares)
    reached_s: float = 0.0
    held_s: dict[str, float] = field(default_factory=dict)
    used_s: dict[str, float] = field(default_factory=dict)
    _accounts_s: dict[str, float] = field(default_factory=dict)
    _charges: dict[PodUid, Charge] = field(default_factory=dict)
    _waiting: frozenset[str] = frozenset()
    _notes: deque[tuple[PodUid, Reservation | None]] = field(default_factory=deque)

    def account_s(self, namespace: str) -> float:
        """Account of a namespace; smaller ones go first."""
        return self._accounts_s.get(namespace, self.reached_s)

    def divides(self, tasks: Sequence[Task]) -> bool:
        """Whether shares matter for these tasks: they are of several namespaces, or limited."""
        namespaces = {task.namespace for task in tasks}
        return len(namespaces) > 1 or any(self.shares.limit_s(name) < inf for name in namespaces)

    def exceeds_limit(self, namespace: str, more_s: float, task_s: float) -> bool:
        """Whether a task would hold more than its namespace may, which will hold `more_s` more."""
        held_s = self.held_s.get(namespace, 0.0) + more_s
        return held_s > 0.0 and held_s + task_s > self.shares.limit_s(namespace)

    def reserve(self, pod: PodUid, reservation: Reservation) -> None:
        """Note a new reservation, so that a pod that ends before the next update is charged."""
        self._notes.append((pod, reservation))

    def cancel(self, pod: PodUid) -> None:
        """Note that a reservation was cancelled: its pod never ran and is not charged."""
        self._notes.append((pod, None))

    def update(
        self,
        reservations: Mapping[PodUid, Reservation],
        waiting: Collection[str],
        now_s: float,
    ) -> None:
        """Charge the pods that hold devices now, and settle those that ended since.

        `waiting` are the namespaces that have waiting tasks. May run in another thread than
        `reserve` and `cancel`.
        """
        while self._notes:
            uid, noted = self._notes.popleft()
            if noted is not None:
                self._charge(uid, noted, now_s)
            elif (charge := self._charges.pop(uid, None)) is not None:
                self._add(charge.namespace, -charge.seconds)
        for uid in self._charges.keys() - reservations.keys():
            self._settle(self._charges.pop(uid), now_s)
        held_s: dict[str, float] = {}
        for uid, reservation in reservations.items():
            self._charge(uid, reservation, now_s)
            remaining_s = reservation.remaining_s(now_s) * reservation.slots
            held_s[reservation.namespace] = held_s.get(reservation.namespace, 0.0) + remaining_s
        self.held_s = held_s
        self._limit_credit(frozenset(waiting))

    def _settle(self, charge: Charge, now_s: float) -> None:
        """Replace the charge of a pod that ended by what it used.

        That stays what was predicted if the pod was never seen running.
        """
        used_s = charge.seconds if charge.started_s is None else charge.used_s(now_s)
        self._add(charge.namespace, used_s - charge.seconds)
        self.used_s[charge.namespace] = self.used_s.get(charge.namespace, 0.0) + used_s

    def _charge(self, uid: PodUid, reservation: Reservation, now_s: float) -> None:
        namespace, seconds = reservation.namespace, reservation.charge_s(now_s)
        before = self._charges.get(uid)
        if before is None:
            self.reached_s = max(self.reached_s, self.account_s(namespace))
        elif before.seconds == seconds and before.started_s == reservation.started_s:
            return
        self._charges[uid] = Charge(namespace, seconds, reservation.started_s, reservation.slots)
        self._add(namespace, seconds - (before.seconds if before else 0.0))

    def _add(self, namespace: str, seconds: float) -> None:
        weighted_s = seconds / self.shares.weight(namespace)
        self._accounts_s[namespace] = self.account_s(namespace) + weighted_s

    def _limit_credit(self, waiting: frozenset[str]) -> None:
        """Raise accounts that are too low, and drop those that say nothing any more."""
        for namespace in waiting:
            credit_s = CREDIT_S if namespace in self._waiting else 0.0
            least_s = self.reached_s - credit_s
            self._accounts_s[namespace] = max(self.account_s(namespace), least_s)
        self._waiting = waiting
        active = waiting | self.held_s.keys()
        idle = [name for name in self._accounts_s if name not in active]
        debtors = {name for name in idle if self._accounts_s[name] > self.reached_s}
        kept = active | set(sorted(debtors, key=self.account_s)[-MAX_IDLE:])
        for name in idle:
            if name not in kept:
                del self._accounts_s[name]
        if len(self.used_s) > len(active) + MAX_IDLE:
            for name in [name for name in self.used_s if name not in active][:-MAX_IDLE]:
                del self.used_s[name]


@dataclass(slots=True, eq=False)
class Flow:
    """The tasks of a namespace that can run on the same lanes, in the order of the policy.

    `later_s` is what was charged for its tasks that do not start now. It counts for this flow
    alone: tasks that wait for a busy kind of device must not hold up others of their namespace.
    """

    namespace: str
    number: int
    tasks: list[tuple[RuleSet, Task]] = field(default_factory=list)
    taken: int = 0
    later_s: float = 0.0

    @property
    def head(self) -> tuple[RuleSet, Task]:
        """The next task with its rules."""
        return self.tasks[self.taken]

    def __len__(self) -> int:
        return len(self.tasks) - self.taken


HeapKey = tuple[int, float, float, int]
"""Rank of the priority, account, creation time and number of a flow."""


class FairQueue:
    """Waiting tasks of several namespaces, in the order in which they are planned.

    Iterating yields the next task. What it is given then is added to `charged_s` if it starts now,
    and to its flow by `charge_later` if not.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        snapshot: FleetSnapshot,
        policy: Policy,
        accounts: ShareAccounts,
        charged_s: dict[str, float],
    ) -> None:
        """`charged_s` are the device seconds of each namespace's tasks that start now."""
        self._snapshot, self._policy, self._accounts = snapshot, policy, accounts
        self._charged_s = charged_s
        by_namespace: dict[str, list[Task]] = {}
        for task in tasks:
            by_namespace.setdefault(task.namespace, []).append(task)
        self._top = 0
        if accounts.shares.cluster_priorities:
            self._top = max((task.priority for task in tasks), default=0)
        self._flows: list[Flow] = []
        for namespace in sorted(by_namespace):
            self._add_flows(namespace, by_namespace[namespace], divided=len(by_namespace) > 1)
        self._current = self._flows[0] if self._flows else Flow("", 0)
        self.behind = sum(map(len, by_namespace.values()))

    def __iter__(self) -> Iterator[tuple[RuleSet, Task]]:
        heap = [self._key(flow) for flow in self._flows]
        heapify(heap)
        while heap:
            flow = self._flows[heap[0][-1]]
            key = self._key(flow)
            if key > heap[0]:  # its namespace was charged for another flow
                heapreplace(heap, key)
                continue
            rules, task = flow.head
            self._current = flow
            flow.taken += 1
            self.behind -= 1
            yield rules, task
            if len(flow):
                heapreplace(heap, self._key(flow))
            else:
                heappop(heap)

    def charge_later(self, seconds: float) -> None:
        """Charge the flow of the last task, which the plan starts later."""
        self._current.later_s += seconds

    def _key(self, flow: Flow) -> HeapKey:
        namespace, (_, task) = flow.namespace, flow.head
        charged_s = self._charged_s.get(namespace, 0.0) + flow.later_s
        account_s = self._accounts.account_s(namespace)
        account_s += charged_s / self._accounts.shares.weight(namespace)
        return self._rank(task), account_s, task.created_s, flow.number

    def _rank(self, task: Task) -> int:
        """0 for all, unless priorities count in the whole cluster; aged tasks rank highest."""
        if not self._accounts.shares.cluster_priorities:
            return 0
        aged = self._policy.is_aged(task, self._snapshot.now_s)
        return -self._top if aged else -task.priority

    def _add_flows(self, namespace: str, tasks: Sequence[Task], *, divided: bool) -> None:
        flows: dict[int, Flow] = {}
        for rules, group in self._policy.groups(tasks, self._snapshot.now_s):
            for task in self._in_order(rules, group):
                lanes = self._snapshot.estimates.terms(task).lanes_key if divided else 0
                if (flow := flows.get(lanes)) is None:
                    flow = flows[lanes] = Flow(namespace, len(self._flows))
                    self._flows.append(flow)
                flow.tasks.append((rules, task))

    def _in_order(self, rules: RuleSet, group: Sequence[Task]) -> Iterable[Task]:
        if len(group) == 1:
            return group
        queue = Queue.of(group, self._snapshot)
        if rules.batch:
            return queue.tasks
        places = np.argsort(ORDERS[rules.order](queue), kind="stable").tolist()
        return [queue.tasks[place] for place in places]
