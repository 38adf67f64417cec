from collections import defaultdict
from dataclasses import replace

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from acesniper.domain.device import DeviceId
from acesniper.domain.task import Task
from acesniper.policies.estimates import FleetSnapshot
from acesniper.policies.feasibility import check_feasibility
from acesniper.policies.plan import Plan, make_plan
from acesniper.policies.policy import Policy, rule_names
from builders import make_task
from strategies import floats, seconds, snapshots, task_lists

policies = st.builds(
    Policy,
    st.sampled_from(rule_names()),
    aging_s=st.sampled_from([1.0, 1e9]),
    explore_share=st.sampled_from([0.0, 0.5]),
)
ORDERED = [name for name in rule_names() if name.endswith("-mct")]
NEVER_WAITING = ("any-free", "fastest-free")


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies)
def test_every_task_is_planned_once_or_infeasible_on_every_device(
    tasks: list[Task], snapshot: FleetSnapshot, policy: Policy
) -> None:
    plan = make_plan(tasks, snapshot, policy)

    planned = [planned.task.key for planned in plan.planned]
    assert len(planned) == len(set(planned))
    if policy.name not in NEVER_WAITING:
        assert sorted([*planned, *plan.unplanned]) == sorted(task.key for task in tasks)
    for task in plan.unplanned:
        verdicts = plan.infeasible_devices(task, snapshot)
        assert set(verdicts) == set(snapshot.estimates.lane_of)
        assert not any(verdict.feasible for verdict in verdicts.values())


def max_overlap(spans: list[tuple[float, float]]) -> int:
    """The largest number of spans that overlap at any start."""
    return max(
        (sum(start <= at < end for start, end in spans) for at, _ in spans),
        default=0,
    )


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies)
def test_no_device_ever_has_more_tasks_than_slots(
    tasks: list[Task], snapshot: FleetSnapshot, policy: Policy
) -> None:
    plan = make_plan(tasks, snapshot, policy)

    spans: dict[DeviceId, list[tuple[float, float]]] = defaultdict(list)
    for planned in plan.planned:
        spans[planned.device.id].append((planned.start_s, planned.finish_s))
    for device in snapshot.estimates.devices:
        assert max_overlap(spans[device.id]) <= device.slots


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies)
def test_no_more_tasks_start_now_than_slots_are_free(
    tasks: list[Task], snapshot: FleetSnapshot, policy: Policy
) -> None:
    plan = make_plan(tasks, snapshot, policy)

    for device in snapshot.estimates.devices:
        starting = [
            planned for planned in plan.planned if planned.starts_now and planned.device == device
        ]
        busy = len(snapshot.busy_s.get(device.id, ()))
        assert len(starting) <= max(device.slots - busy, 0)


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies)
def test_a_device_is_never_assigned_an_infeasible_task(
    tasks: list[Task], snapshot: FleetSnapshot, policy: Policy
) -> None:
    for planned in make_plan(tasks, snapshot, policy).planned:
        nodes = snapshot.estimates.nodes
        assert check_feasibility(planned.task, planned.device, nodes).feasible
        for candidate in planned.candidates:
            assert check_feasibility(planned.task, candidate.device, nodes).feasible


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies)
def test_the_first_candidate_is_the_chosen_device_with_its_terms(
    tasks: list[Task], snapshot: FleetSnapshot, policy: Policy
) -> None:
    for planned in make_plan(tasks, snapshot, policy).planned:
        assert bool(planned.candidates) == planned.starts_now
        if planned.candidates:
            chosen = planned.candidates[0]
            assert chosen.device == planned.device
            assert np.isclose(chosen.busy_s, planned.busy_s, rtol=1e-9)


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies, data=st.data())
def test_a_plan_does_not_depend_on_the_order_of_its_input(
    tasks: list[Task], snapshot: FleetSnapshot, policy: Policy, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(tasks))

    assert (
        make_plan(shuffled, snapshot, policy).planned == make_plan(tasks, snapshot, policy).planned
    )


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies)
def test_a_starting_only_plan_starts_the_same_tasks(
    tasks: list[Task], snapshot: FleetSnapshot, policy: Policy
) -> None:
    def starting(plan: Plan) -> list[tuple[str, str]]:
        return [
            (planned.task.key, planned.device.id) for planned in plan.planned if planned.starts_now
        ]

    whole = make_plan(tasks, snapshot, policy)
    early = make_plan(tasks, snapshot, policy, starting_only=True)

    assert starting(early) == starting(whole)


@given(
    snapshot=snapshots(),
    created=st.lists(floats(0, 100), min_size=1, max_size=10),
    name=st.sampled_from(ORDERED),
)
def test_equal_tasks_finish_in_order_of_creation(
    snapshot: FleetSnapshot, created: list[float], name: str
) -> None:
    assume(any(device.schedulable for device in snapshot.estimates.devices))
    tasks = [
        make_task(f"default/t{number}", "default/m1", created_s=created_s)
        for number, created_s in enumerate(created)
    ]

    plan = make_plan(tasks, snapshot, Policy(name, aging_s=1e9))

    finish_s = {planned.task.key: planned.finish_s for planned in plan.planned}
    finishes_by_creation_s = [
        finish_s[task.key] for task in sorted(tasks, key=lambda task: (task.created_s, task.key))
    ]
    assert finishes_by_creation_s == sorted(finishes_by_creation_s)


@given(snapshot=snapshots(), more_s=seconds, data=st.data())
def test_a_longer_backlog_never_attracts_a_task(
    snapshot: FleetSnapshot, more_s: float, data: st.DataObject
) -> None:
    assume(snapshot.estimates.devices)
    device = data.draw(st.sampled_from(snapshot.estimates.devices))
    longer = (*snapshot.busy_s.get(device.id, ()), more_s)
    busier = replace(snapshot, busy_s={**snapshot.busy_s, device.id: tuple(sorted(longer))})
    task = make_task("default/t", "default/m1")

    def chosen(of: FleetSnapshot) -> list[DeviceId]:
        return [planned.device.id for planned in make_plan([task], of, Policy()).planned]

    if chosen(snapshot) != [device.id]:
        assert chosen(busier) == chosen(snapshot)


@given(tasks=task_lists(), snapshot=snapshots(), name=st.sampled_from(rule_names()))
def test_an_aged_task_is_planned_first(
    tasks: list[Task], snapshot: FleetSnapshot, name: str
) -> None:
    old = make_task("a/old", "default/m1", created_s=-1e9)

    plan = make_plan([*tasks, old], snapshot, Policy(name, aging_s=1e6))

    assert [planned.task.key for planned in plan.planned[:1]] == [
        old.key
    ] or old.key in plan.unplanned


@given(tasks=task_lists(), behind=task_lists(), snapshot=snapshots(), policy=policies)
def test_tasks_behind_do_not_change_the_plan_of_ready_tasks(
    tasks: list[Task], behind: list[Task], snapshot: FleetSnapshot, policy: Policy
) -> None:
    others = [replace(task, key=type(task.key)(f"other/{task.key}")) for task in behind]

    alone = make_plan(tasks, snapshot, policy)
    together = make_plan(tasks, snapshot, policy, others)

    assert together.planned[: len(alone.planned)] == alone.planned
