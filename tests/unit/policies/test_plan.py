from dataclasses import replace

import pytest

from acesniper.domain.device import Device, DeviceId
from acesniper.policies.batch import BATCHES
from acesniper.policies.estimates import FleetSnapshot
from acesniper.policies.plan import Plan, make_plan
from acesniper.policies.policy import Policy, policy_by_name, rule_names
from builders import make_device, make_snapshot, make_task, selecting

FAST, SLOW = make_device("fast"), make_device("slow")
LATENCY = {"model": {"fast": 1.0, "slow": 10.0}}


def placed(plan: Plan) -> dict[str, tuple[str, float]]:
    """Task to (device, start)."""
    return {planned.task.key: (planned.device.id, planned.start_s) for planned in plan.planned}


def reasons(plan: Plan, snapshot: FleetSnapshot, task: str = "n/t") -> dict[str, str]:
    verdicts = plan.infeasible_devices(make_task(task).key, snapshot)
    return {device: verdict.reason for device, verdict in verdicts.items()}


def test_a_task_starts_on_the_device_where_it_finishes_first() -> None:
    plan = make_plan([make_task("n/t")], make_snapshot([SLOW, FAST], LATENCY), Policy())

    assert placed(plan) == {"n/t": ("fast", 0.0)}
    assert plan.planned[0].starts_now


def test_a_task_waits_for_a_busy_faster_device() -> None:
    snapshot = make_snapshot([FAST, SLOW], LATENCY, busy={"fast": [4.0]})

    plan = make_plan([make_task("n/t")], snapshot, Policy())

    assert placed(plan) == {"n/t": ("fast", 4.0)}
    assert not plan.planned[0].starts_now


def test_a_task_uses_the_slow_device_when_the_fast_one_is_busy_too_long() -> None:
    snapshot = make_snapshot([FAST, SLOW], LATENCY, busy={"fast": [9.5]})

    plan = make_plan([make_task("n/t")], snapshot, Policy())

    assert placed(plan) == {"n/t": ("slow", 0.0)}


def test_two_tasks_never_get_the_same_free_slot() -> None:
    tasks = [make_task("n/a", created_s=0.0), make_task("n/b", created_s=1.0)]

    plan = make_plan(tasks, make_snapshot([FAST], LATENCY), Policy())

    assert placed(plan) == {"n/a": ("fast", 0.0), "n/b": ("fast", 1.0)}
    assert [planned.starts_now for planned in plan.planned] == [True, False]


def test_a_device_with_two_slots_starts_two_tasks_now() -> None:
    device = make_device("fast", slots=2)
    tasks = [make_task(f"n/{name}") for name in "abc"]

    plan = make_plan(tasks, make_snapshot([device], LATENCY), Policy())

    assert [planned.starts_now for planned in plan.planned] == [True, True, False]
    assert placed(plan)["n/c"] == ("fast", 1.0)


def test_no_device_idles_for_a_task_that_cannot_start_yet() -> None:
    first, second = make_task("n/a", created_s=0.0), make_task("n/b", created_s=1.0)

    plan = make_plan([second], make_snapshot([FAST], LATENCY), Policy(), behind=[first])

    assert placed(plan) == {"n/b": ("fast", 0.0), "n/a": ("fast", 1.0)}


def test_an_overdue_pod_still_holds_its_slot() -> None:
    snapshot = make_snapshot([FAST], LATENCY, busy={"fast": [0.001]})

    plan = make_plan([make_task("n/t")], snapshot, Policy())

    assert not plan.planned[0].starts_now


def test_inferences_multiply_the_latency() -> None:
    plan = make_plan([make_task(inferences=7)], make_snapshot([FAST], LATENCY), Policy())

    assert plan.planned[0].busy_s == 7.0


def test_a_missing_prediction_is_the_median_with_a_wide_interval() -> None:
    unknown, other = make_device("unknown"), make_device("other")
    third = make_device("third")
    snapshot = make_snapshot([unknown, other, third], {"model": {"other": 3.0, "third": 5.0}})

    plan = make_plan([make_task()], snapshot, Policy())
    (neutral,) = (
        candidate for candidate in plan.planned[0].candidates if candidate.device == unknown
    )

    assert neutral.prediction.latency_s == 4.0
    assert neutral.prediction.source == "neutral"
    assert (neutral.prediction.low_s, neutral.prediction.high_s) == (0.4, 40.0)


def test_a_model_without_predictions_is_planned() -> None:
    plan = make_plan([make_task("n/t")], make_snapshot([FAST]), Policy())

    assert placed(plan) == {"n/t": ("fast", 0.0)}
    assert plan.planned[0].candidates[0].prediction.source == "neutral"


def test_an_infeasible_task_has_a_reason_for_each_device() -> None:
    task = make_task("n/t", providers=frozenset({"cuda"}))
    snapshot = make_snapshot([FAST, SLOW], LATENCY)

    plan = make_plan([task, make_task("n/u")], snapshot, Policy())

    assert placed(plan) == {"n/u": ("fast", 0.0)}
    assert reasons(plan, snapshot) == {
        "fast": "its provider is cpu, the task requires cuda",
        "slow": "its provider is cpu, the task requires cuda",
    }


def test_a_device_that_failed_to_bind_the_pod_is_excluded() -> None:
    snapshot = make_snapshot([FAST, SLOW], LATENCY)
    both = make_task("n/both", excluded=frozenset({FAST.id, SLOW.id}))

    plan = make_plan([make_task("n/t", excluded=frozenset({FAST.id})), both], snapshot, Policy())

    assert placed(plan) == {"n/t": ("slow", 0.0)}
    assert reasons(plan, snapshot, "n/both")["fast"] == (
        "the task's pod recently failed to bind there"
    )


@pytest.mark.parametrize(
    ("avoided", "labels", "device"),
    [
        ({FAST.id}, {}, "slow"),
        ({FAST.id, SLOW.id}, {}, "fast"),
        ({FAST.id}, {"zone": "a"}, "fast"),
    ],
    ids=["another device", "all have failed", "no other is feasible"],
)
def test_a_device_on_which_the_task_failed_is_used_if_there_is_no_other(
    avoided: set[DeviceId], labels: dict[str, str], device: str
) -> None:
    snapshot = make_snapshot([FAST, SLOW], LATENCY, labels={"fast": {"zone": "a"}})
    task = make_task("n/t", avoided=frozenset(avoided), pod_rules=selecting(**labels))

    assert placed(make_plan([task], snapshot, Policy())) == {"n/t": (device, 0.0)}


def test_reject_excludes_devices_that_would_miss_the_deadline() -> None:
    task = make_task("n/t", deadline_s=4.0, reject_late=True)
    snapshot = make_snapshot([FAST, SLOW], LATENCY, busy={"fast": [9.0]})

    plan = make_plan([task], snapshot, Policy())

    assert plan.planned == ()
    assert reasons(plan, snapshot) == {
        "fast": "would finish in 10.0 s, after the deadline",
        "slow": "would finish in 10.0 s, after the deadline",
    }


@pytest.mark.parametrize(
    ("deadline_s", "reject_late", "planned"),
    [
        pytest.param(None, True, True, id="no deadline"),
        pytest.param(1.0, False, True, id="best effort"),
        pytest.param(107.0, True, True, id="the optimistic estimate meets it"),
        pytest.param(106.9, True, False, id="even the optimistic estimate misses it"),
    ],
)
def test_a_deadline_is_missed_when_even_the_optimistic_estimate_is_late(
    deadline_s: float | None, reject_late: bool, planned: bool
) -> None:
    # 3 s of backlog, then 4 inferences of 2 s, or 1 s at best.
    snapshot = make_snapshot([FAST], {"model": {"fast": 2.0}}, {"fast": [3.0]}, now_s=100.0)
    task = make_task(inferences=4, deadline_s=deadline_s, reject_late=reject_late)

    assert bool(make_plan([task], snapshot, Policy()).planned) is planned


@pytest.mark.parametrize(
    ("deadline_s", "device"),
    [
        pytest.param(None, "fast", id="no deadline: earliest finish"),
        pytest.param(10.0, "slow", id="tight deadline: smallest upper bound"),
        pytest.param(6.0, "fast", id="unreachable deadline: earliest finish"),
        pytest.param(20.0, "fast", id="loose deadline: earliest finish"),
    ],
)
def test_a_deadline_prefers_a_device_that_meets_it_with_high_probability(
    deadline_s: float | None, device: str
) -> None:
    # With probability 0.9, `fast` takes at most 10.3 s and `slow` at most 6.9 s.
    snapshot = make_snapshot([FAST, SLOW], {"model": {"fast": 6.0, "slow": 6.5}})
    task = make_task("n/t", deadline_s=deadline_s)
    snapshot.estimates.rows[task.model].high_s[:] = [12.0, 7.0]

    plan = make_plan([task], snapshot, Policy())

    assert placed(plan)["n/t"][0] == device


def test_an_aged_task_goes_before_any_priority() -> None:
    old = make_task("n/old", created_s=-601.0)
    urgent = make_task("n/urgent", created_s=0.0, priority=9)

    plan = make_plan([urgent, old], make_snapshot([FAST], LATENCY), Policy(aging_s=600.0))

    assert placed(plan) == {"n/old": ("fast", 0.0), "n/urgent": ("fast", 1.0)}


@pytest.mark.parametrize("rules", rule_names())
def test_priority_goes_before_the_order_of_the_policy(rules: str) -> None:
    early = make_task("n/early", created_s=-5.0, deadline_s=1.0)
    urgent = make_task("n/urgent", created_s=-1.0, priority=1)

    plan = make_plan([early, urgent], make_snapshot([FAST], LATENCY), policy_by_name(rules))

    assert plan.planned[0].task.key == "n/urgent"


def test_a_priority_class_can_have_its_own_policy() -> None:
    long = make_task("n/long", created_s=-1.0, inferences=9, priority_class="batch")
    short = make_task("n/short", created_s=0.0, priority_class="batch")
    policy = Policy(classes={"batch": "sjf-mct"})

    plan = make_plan([long, short], make_snapshot([FAST], LATENCY), policy)

    assert [planned.task.key for planned in plan.planned] == ["n/short", "n/long"]


def test_a_task_explores_the_least_certain_of_nearly_equal_devices() -> None:
    certain, uncertain, slow = (make_device(name) for name in ("certain", "uncertain", "slow"))
    latency = {"model": {"certain": 1.0, "uncertain": 1.05, "slow": 1.2}}
    snapshot = make_snapshot([certain, uncertain, slow], latency)
    snapshot.estimates.rows[make_task().model].high_s[:] = [1.1, 4.0, 9.0]

    explored = make_plan([make_task("n/t")], snapshot, Policy(explore_share=1.0))
    urgent = make_task("n/t", deadline_s=100.0)
    not_explored = make_plan([urgent], snapshot, Policy(explore_share=1.0))

    assert placed(explored) == {"n/t": ("uncertain", 0.0)}
    assert placed(not_explored) == {"n/t": ("certain", 0.0)}


def test_a_finish_includes_the_cold_start() -> None:
    snapshot = make_snapshot([FAST], LATENCY, cold_s=2.0)

    plan = make_plan([make_task("n/t")], snapshot, Policy())

    assert plan.planned[0].busy_s == 3.0
    assert plan.planned[0].candidates[0].cold_start_s == 2.0


@pytest.mark.parametrize("rules", ["random-queue", "round-robin-queue", "least-loaded-queue"])
def test_a_queue_policy_keeps_tasks_on_their_device(rules: str) -> None:
    tasks = [make_task(f"n/{number}", created_s=number) for number in range(6)]
    busy = make_snapshot([FAST, SLOW], LATENCY, {"fast": [5.0], "slow": [5.0]})
    idle = make_snapshot([FAST, SLOW], LATENCY)

    before = make_plan(tasks, busy, policy_by_name(rules))
    after = make_plan(tasks, idle, policy_by_name(rules), previous=before)

    def devices(plan: Plan) -> dict[str, str]:
        return {planned.task.key: planned.device.id for planned in plan.planned}

    assert devices(after) == devices(before)


@pytest.mark.parametrize("left", [[replace(FAST, schedulable=False), SLOW], [SLOW]])
def test_tasks_leave_the_queue_of_a_removed_device(left: list[Device]) -> None:
    tasks = [make_task(f"n/{number}") for number in range(6)]
    before = make_plan(tasks, make_snapshot([FAST, SLOW], LATENCY), policy_by_name("random-queue"))
    assert {planned.device.id for planned in before.planned} == {"fast", "slow"}

    after = make_plan(
        tasks, make_snapshot(left, LATENCY), policy_by_name("random-queue"), previous=before
    )

    assert {planned.device.id for planned in after.planned} == {"slow"}
    assert len(after.planned) == len(tasks)


def test_round_robin_continues_over_successive_plans() -> None:
    devices = [make_device(name) for name in "abc"]
    busy = {name: [9.0] for name in "abc"}
    snapshot = make_snapshot(devices, {"model": dict.fromkeys("abc", 1.0)}, busy)
    first, second, third = (make_task(f"n/{n}", created_s=float(n)) for n in range(3))

    one = make_plan([first], snapshot, policy_by_name("round-robin-queue"))
    two = make_plan([first, second], snapshot, policy_by_name("round-robin-queue"), previous=one)
    three = make_plan([second, third], snapshot, policy_by_name("round-robin-queue"), previous=two)

    assert [planned.device.id for planned in two.planned] == ["a", "b"]
    assert [planned.device.id for planned in three.planned] == ["b", "c"]


@pytest.mark.parametrize("rules", ["any-free", "fastest-free"])
def test_a_policy_that_never_waits_plans_only_on_free_devices(rules: str) -> None:
    tasks = [make_task("n/a"), make_task("n/b")]

    plan = make_plan(tasks, make_snapshot([FAST], LATENCY), policy_by_name(rules))

    assert placed(plan) == {"n/a": ("fast", 0.0)}
    assert plan.unplanned == {}


def test_starting_only_plans_end_when_no_more_task_can_start() -> None:
    tasks = [make_task(f"n/{name}", created_s=at) for at, name in enumerate("abcd")]

    plan = make_plan(tasks, make_snapshot([FAST], LATENCY), Policy(), starting_only=True)

    assert placed(plan) == {"n/a": ("fast", 0.0)}


def test_a_rejected_task_uses_no_slot() -> None:
    late = make_task("n/late", created_s=0.0, deadline_s=0.1, reject_late=True)
    good = make_task("n/good", created_s=1.0)

    plan = make_plan([late, good], make_snapshot([FAST], LATENCY), Policy())

    assert placed(plan) == {"n/good": ("fast", 0.0)}


@pytest.mark.parametrize("rules", sorted(BATCHES))
def test_infeasible_tasks_do_not_fill_the_batch(rules: str) -> None:
    infeasible = [
        make_task(f"n/infeasible-{number}", providers=frozenset({"cuda"})) for number in range(3)
    ]
    later = make_task("n/later", created_s=1.0)
    snapshot = make_snapshot([make_device("d")], {"model": {"d": 1.0}}, now_s=1.0)

    plan = make_plan([*infeasible, later], snapshot, Policy(rules, batch_size=2))

    assert [planned.task.key for planned in plan.planned] == ["n/later"]
    assert set(plan.unplanned) == {task.key for task in infeasible}


def test_a_plan_keeps_the_best_candidates_in_order() -> None:
    devices = [make_device(name) for name in "abcd"]
    latency = {"model": {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}}

    plan = make_plan([make_task()], make_snapshot(devices, latency), Policy(candidates_kept=3))

    assert [candidate.device.id for candidate in plan.planned[0].candidates] == ["d", "c", "b"]


def test_candidates_are_devices_rather_than_slots() -> None:
    devices = [make_device("a", slots=4), make_device("b")]
    latency = {"model": {"a": 1.0, "b": 2.0}}

    plan = make_plan([make_task()], make_snapshot(devices, latency), Policy())

    assert [candidate.device.id for candidate in plan.planned[0].candidates] == ["a", "b"]


def test_a_waiting_task_has_no_candidates() -> None:
    snapshot = make_snapshot([FAST], LATENCY, busy={"fast": [1.0]})

    assert make_plan([make_task()], snapshot, Policy()).planned[0].candidates == ()


@pytest.mark.parametrize("name", ["fifo-mct", "fcfs-x", "mct-fcfs", ""])
def test_an_unknown_policy_is_rejected_with_the_known_names(name: str) -> None:
    with pytest.raises(ValueError, match=r"is unknown; use one of edf-mct, .*min-min") as caught:
        Policy(name)

    assert repr(name) in str(caught.value)


def test_an_unknown_policy_of_a_class_is_rejected() -> None:
    with pytest.raises(ValueError, match="'fifo' is unknown"):
        Policy(classes={"batch": "fifo"})
