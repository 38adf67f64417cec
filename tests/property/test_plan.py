from collections import defaultdict
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from acesniper.domain.device import DeviceId
from acesniper.domain.fleet import Snapshot
from acesniper.domain.task import ModelKey, Task
from acesniper.policies.feasibility import judge
from acesniper.policies.order import ORDERS, in_order
from acesniper.policies.placement import PLACEMENTS
from acesniper.policies.plan import Plan, Policy, make_plan, rank_devices
from builders import make_task
from strategies import floats, seconds, snapshots, task_lists

policies = st.builds(Policy, st.sampled_from(list(ORDERS)), st.sampled_from(list(PLACEMENTS)))


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies)
def test_every_task_is_planned_once_or_refused_by_every_device(
    tasks: list[Task], snapshot: Snapshot, policy: Policy
) -> None:
    plan = make_plan(tasks, snapshot, policy)

    planned = [each.task.key for each in plan.planned]
    assert len(planned) == len(set(planned))
    assert sorted([*planned, *plan.unplanned]) == sorted(task.key for task in tasks)
    for refused in plan.unplanned.values():
        assert set(refused) == set(snapshot.devices)


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """The largest number of spans that overlap at any start."""
    return max(
        (sum(start <= at < end for start, end in spans) for at, _ in spans),
        default=0,
    )


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies)
def test_no_device_ever_has_more_tasks_than_slots(
    tasks: list[Task], snapshot: Snapshot, policy: Policy
) -> None:
    plan = make_plan(tasks, snapshot, policy)

    spans: dict[DeviceId, list[tuple[float, float]]] = defaultdict(list)
    for planned in plan.planned:
        chosen = planned.chosen
        spans[chosen.device.id].append((chosen.backlog_s, chosen.finish_s))
    for device, each in spans.items():
        assert most_at_once(each) <= snapshot.devices[device].slots


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies)
def test_only_as_many_tasks_start_now_as_slots_are_really_free(
    tasks: list[Task], snapshot: Snapshot, policy: Policy
) -> None:
    plan = make_plan(tasks, snapshot, policy)

    for device in snapshot.devices.values():
        starting = [
            each for each in plan.planned if each.starts_now and each.chosen.device == device
        ]
        busy = len(snapshot.busy_s.get(device.id, ()))
        assert len(starting) <= max(device.slots - busy, 0)


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies)
def test_a_chosen_device_can_take_its_task(
    tasks: list[Task], snapshot: Snapshot, policy: Policy
) -> None:
    for planned in make_plan(tasks, snapshot, policy).planned:
        for candidate in planned.candidates:
            assert judge(planned.task, candidate.device, snapshot).feasible


@given(tasks=task_lists(), snapshot=snapshots(), policy=policies, data=st.data())
def test_a_plan_depends_on_what_is_known_not_on_the_order_it_came_in(
    tasks: list[Task], snapshot: Snapshot, policy: Policy, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(tasks))

    assert make_plan(shuffled, snapshot, policy) == make_plan(tasks, snapshot, policy)


def starts(plan: Plan) -> dict[str, float]:
    return {each.task.key: each.chosen.finish_s for each in plan.planned}


@given(
    snapshot=snapshots(),
    created=st.lists(floats(0, 100), min_size=1, max_size=10),
    order=st.sampled_from(list(ORDERS)),
)
def test_among_equal_tasks_nobody_overtakes(
    snapshot: Snapshot, created: list[float], order: str
) -> None:
    assume(any(each.schedulable for each in snapshot.devices.values()))
    tasks = [
        make_task(f"default/t{number}", "default/m1", created_s=created_s)
        for number, created_s in enumerate(created)
    ]

    plan = make_plan(tasks, snapshot, Policy(order, "mct"))

    finish_s = starts(plan)
    in_turn = [finish_s[task.key] for task in in_order(tasks, ORDERS[order], 0.0)]
    assert in_turn == sorted(in_turn)


@given(snapshot=snapshots(), more_s=seconds, data=st.data())
def test_more_backlog_never_makes_a_device_rank_better(
    snapshot: Snapshot, more_s: float, data: st.DataObject
) -> None:
    assume(snapshot.devices)
    device = data.draw(st.sampled_from(sorted(snapshot.devices)))
    busier = replace(
        snapshot,
        busy_s={
            **snapshot.busy_s,
            device: tuple(sorted((*snapshot.busy_s.get(device, ()), more_s))),
        },
    )

    def place(of: Snapshot) -> int:
        ranking = rank_devices(ModelKey("default/m1"), of.devices.values(), of)
        return [each.device.id for each in ranking].index(device)

    assert place(busier) >= place(snapshot)


@given(tasks=task_lists(), behind=task_lists(), snapshot=snapshots(), policy=policies)
def test_tasks_behind_take_nothing_from_those_that_are_ready(
    tasks: list[Task], behind: list[Task], snapshot: Snapshot, policy: Policy
) -> None:
    others = [replace(task, key=type(task.key)(f"other/{task.key}")) for task in behind]

    alone = make_plan(tasks, snapshot, policy)
    together = make_plan(tasks, snapshot, policy, others)

    assert together.planned[: len(alone.planned)] == alone.planned
