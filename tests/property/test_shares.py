"""Fair shares between namespaces: work conservation, no starvation, bounds and weights."""

from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acesniper.domain.reservations import PodUid, Reservation
from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.policies.estimates import FleetSnapshot
from acesniper.policies.plan import make_plan
from acesniper.policies.policy import Policy, rule_names
from acesniper.policies.shares import CREDIT_S, ShareAccounts, Shares
from acesniper.simulator.statistics import CompletedTask
from builders import make_task
from simulated import simulate
from strategies import floats, snapshots, task_lists

NAMESPACES = ("a", "b", "c")
QUEUE_RULES = [name for name in rule_names() if not name.endswith("-free")]


def tasks_of(
    namespace: str, count: int, at_s: float = 0.0, size: int = 1, model: int = 0
) -> list[Task]:
    """Tasks that arrive together."""
    return [
        Task(TaskKey(f"{namespace}/{number:05d}"), ModelKey(f"m{model}"), at_s, size)
        for number in range(count)
    ]


def mean_response_s(done: Sequence[CompletedTask], namespace: str) -> float:
    own = [item.response_s for item in done if item.task.namespace == namespace]
    return sum(own) / len(own)


def used_s(done: Sequence[CompletedTask], until_s: float) -> dict[str, float]:
    """Device seconds that each namespace used until an instant."""
    total: dict[str, float] = defaultdict(float)
    for item in done:
        total[item.task.namespace] += max(min(item.finished_s, until_s) - item.started_s, 0.0)
    return total


@st.composite
def tenants(draw: st.DrawFn, max_size: int = 10) -> list[Task]:
    """Waiting tasks of up to three namespaces."""
    return [
        make_task(
            f"{draw(st.sampled_from(NAMESPACES))}/{task.key.partition('/')[2]}",
            task.model,
            created_s=task.created_s,
            inferences=task.inferences,
            providers=task.providers,
            priority=task.priority,
        )
        for task in draw(task_lists(max_size))
    ]


@st.composite
def accounts(draw: st.DrawFn) -> ShareAccounts:
    """Accounts with any history."""
    weights = draw(st.dictionaries(st.sampled_from(NAMESPACES), floats(0.1, 10.0)))
    shares = ShareAccounts(Shares(weights, cluster_priorities=draw(st.booleans())))
    for now_s in range(draw(st.integers(0, 3))):
        pods = draw(st.dictionaries(st.integers(0, 9), st.sampled_from(NAMESPACES), max_size=6))
        held = {
            PodUid(str(pod)): Reservation(
                draw(st.sampled_from(["a", "b"])),  # type: ignore[arg-type] # any name
                draw(floats(0.1, 1e3)),
                started_s=float(now_s),
                namespace=namespace,
            )
            for pod, namespace in pods.items()
        }
        shares.update(held, draw(st.sets(st.sampled_from(NAMESPACES))), float(now_s))
    return shares


# --- one plan ----------------------------------------------------------------------------------


@given(tenants(), snapshots(), st.sampled_from(rule_names()), accounts())
def test_shares_lose_no_task_and_leave_no_lane_idle(
    tasks: list[Task], snapshot: FleetSnapshot, policy: str, shares: ShareAccounts
) -> None:
    rules = Policy(policy, aging_s=1e9)

    plan = make_plan(tasks, snapshot, rules, shares=shares)
    without = make_plan(tasks, snapshot, rules)

    planned = [item.task.key for item in plan.planned]
    assert len(planned) == len(set(planned))
    assert set(plan.unplanned) == set(without.unplanned)
    if policy in QUEUE_RULES:
        assert sorted([*planned, *plan.unplanned]) == sorted(task.key for task in tasks)
    if policy in ("any-free", "fastest-free"):  # these never wait: as many start as without shares
        free = [lane_s <= 0 for lane_s in snapshot.free_s()]
        feasible_now = len(planned) == min(sum(free), len(tasks)) or len(planned) <= sum(free)
        assert feasible_now
        assert bool(planned) == bool(without.planned)


@given(task_lists(), snapshots(), st.sampled_from(rule_names()), accounts(), st.data())
def test_a_namespace_alone_is_planned_as_without_shares(
    tasks: list[Task],
    snapshot: FleetSnapshot,
    policy: str,
    shares: ShareAccounts,
    data: st.DataObject,
) -> None:
    rules = Policy(policy, aging_s=data.draw(st.sampled_from([1.0, 1e9])))
    split = data.draw(st.integers(0, len(tasks)))

    def plan(accounts: ShareAccounts | None) -> tuple[object, object]:
        plan = make_plan(tasks[:split], snapshot, rules, tasks[split:], shares=accounts)
        return plan.planned, plan.unplanned

    assert plan(shares) == plan(None)


@given(tenants(), snapshots(), st.sampled_from(QUEUE_RULES), accounts())
def test_within_a_namespace_priority_and_age_order_tasks_that_run_on_the_same_lanes(
    tasks: list[Task], snapshot: FleetSnapshot, policy: str, shares: ShareAccounts
) -> None:
    if Policy(policy).rules_for("").batch:
        return  # a batch is placed together

    plan = make_plan(tasks, snapshot, Policy(policy, aging_s=1e9), shares=shares)

    last: dict[tuple[str, int], int] = {}
    for item in plan.planned:
        flow = item.task.namespace, snapshot.estimates.terms(item.task).lanes_key
        assert item.task.priority <= last.get(flow, item.task.priority)
        last[flow] = item.task.priority


# --- runs of a whole workload --------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(floats(0.25, 8.0), min_size=3, max_size=3),
    floats(0.0, 50.0),
    st.integers(1, 6),
    floats(0.25, 4.0),
    floats(0.25, 4.0),
)
def test_a_full_queue_delays_another_namespace_by_no_more_than_the_bound(
    devices: int, sizes: list[float], arrival_s: float, few: int, weight: float, error: float
) -> None:
    """The bound: its own work and that of the others by weight, the credit, and running tasks."""
    big, small = sizes[0], sizes[1]
    latency = [[big, small]] * devices
    predicted = [[big * error, small]] * devices
    crowd = tasks_of("crowd", 40 * devices)
    own = tasks_of("own", few, arrival_s, model=1)
    done = simulate(
        latency, [*crowd, *own], predicted_s=predicted, shares=Shares({"crowd": weight})
    )

    latest_s = max(item.finished_s for item in done if item.task.namespace == "own")
    work_s = few * small
    charged_s = weight * (work_s + CREDIT_S) / min(error, 1.0) + devices * big
    bound_s = (work_s + charged_s) / devices + 2 * max(big, small) + small
    assert latest_s - arrival_s <= bound_s


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 3),
    floats(0.5, 4.0),
    floats(0.5, 4.0),
    st.lists(floats(0.5, 2.0), min_size=2, max_size=2),
    st.sampled_from(["fcfs-mct", "fcfs-advantage", "sjf-mct", "hrrn-mct"]),
)
def test_long_run_shares_of_device_seconds_converge_to_the_weights(
    devices: int, weight: float, size: float, errors: list[float], policy: str
) -> None:
    latency = [[size, 1.0]] * devices
    predicted = [[size * errors[0], errors[1]]] * devices
    until_s = 60.0
    heavy = tasks_of("heavy", int(until_s / size + 2) * devices)
    light = tasks_of("light", int(until_s + 2) * devices, model=1)

    done = simulate(
        latency,
        [*heavy, *light],
        predicted_s=predicted,
        policy=policy,
        shares=Shares({"heavy": weight}),
    )

    used = used_s(done, until_s)
    assert used["heavy"] + used["light"] == pytest.approx(until_s * devices)  # nothing is idle
    share = weight / (1.0 + weight)
    longest_s = max(size, 1.0) * max(1.0, *errors)
    slack_s = 2 * devices * longest_s  # running tasks
    assert abs(used["heavy"] - share * until_s * devices) <= slack_s
