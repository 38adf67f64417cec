import pytest

from acesniper.domain.task import ModelKey
from acesniper.policies.plan import Plan, Policy, make_plan, neutral, rank_devices
from builders import make_device, make_snapshot, make_task

FAST, SLOW = make_device("fast"), make_device("slow")
LATENCY = {"model": {"fast": 1.0, "slow": 10.0}}


def placed(plan: Plan) -> dict[str, tuple[str, float]]:
    """Task to (device, start)."""
    return {each.task.key: (each.chosen.device.id, each.chosen.backlog_s) for each in plan.planned}


def reasons(plan: Plan, task: str) -> dict[str, str]:
    return {device: verdict.reason for device, verdict in plan.unplanned[task].items()}


def test_a_task_starts_now_on_the_device_where_it_finishes_first() -> None:
    plan = make_plan([make_task("n/t")], make_snapshot([SLOW, FAST], LATENCY), Policy())

    assert placed(plan) == {"n/t": ("fast", 0.0)}
    assert plan.planned[0].starts_now


def test_a_task_is_held_back_for_a_busy_faster_device() -> None:
    snapshot = make_snapshot([FAST, SLOW], LATENCY, busy={"fast": [4.0]})

    plan = make_plan([make_task("n/t")], snapshot, Policy())

    assert placed(plan) == {"n/t": ("fast", 4.0)}
    assert not plan.planned[0].starts_now


def test_a_task_takes_the_slow_device_when_the_fast_one_is_busy_for_too_long() -> None:
    snapshot = make_snapshot([FAST, SLOW], LATENCY, busy={"fast": [9.5]})

    plan = make_plan([make_task("n/t")], snapshot, Policy())

    assert placed(plan) == {"n/t": ("slow", 0.0)}


def test_two_tasks_never_get_the_same_free_slot() -> None:
    tasks = [make_task("n/a", created_s=0.0), make_task("n/b", created_s=1.0)]

    plan = make_plan(tasks, make_snapshot([FAST], LATENCY), Policy())

    assert placed(plan) == {"n/a": ("fast", 0.0), "n/b": ("fast", 1.0)}
    assert [each.starts_now for each in plan.planned] == [True, False]


def test_a_device_with_two_slots_starts_two_tasks_now() -> None:
    device = make_device("fast", slots=2)
    tasks = [make_task(f"n/{name}") for name in "abc"]

    plan = make_plan(tasks, make_snapshot([device], LATENCY), Policy())

    assert [each.starts_now for each in plan.planned] == [True, True, False]
    assert placed(plan)["n/c"] == ("fast", 1.0)


def test_no_device_stands_idle_for_a_task_that_cannot_start_yet() -> None:
    first, second = make_task("n/a", created_s=0.0), make_task("n/b", created_s=1.0)

    plan = make_plan([second], make_snapshot([FAST], LATENCY), Policy(), behind=[first])

    assert placed(plan) == {"n/b": ("fast", 0.0), "n/a": ("fast", 1.0)}


def test_a_pod_that_is_overdue_still_holds_its_slot() -> None:
    snapshot = make_snapshot([FAST], LATENCY, busy={"fast": [0.001]})

    plan = make_plan([make_task("n/t")], snapshot, Policy())

    assert not plan.planned[0].starts_now


def test_inferences_multiply_the_latency() -> None:
    plan = make_plan([make_task(inferences=7)], make_snapshot([FAST], LATENCY), Policy())

    assert plan.planned[0].chosen.run_s == 7.0


def test_without_a_prediction_the_median_of_the_others_is_expected_very_wide() -> None:
    unknown, other = make_device("unknown"), make_device("other")
    snapshot = make_snapshot([unknown, other], {"model": {"other": 3.0, "third": 5.0}})

    plan = make_plan([make_task()], snapshot, Policy())
    (guess,) = (each for each in plan.planned[0].candidates if each.device is unknown)

    assert guess.prediction.latency_s == 4.0
    assert guess.prediction.source == "neutral"
    assert (guess.prediction.low_s, guess.prediction.high_s) == (0.4, 40.0)


def test_a_model_nobody_predicts_is_planned_all_the_same() -> None:
    plan = make_plan([make_task("n/t")], make_snapshot([FAST]), Policy())

    assert placed(plan) == {"n/t": ("fast", 0.0)}
    assert neutral({}).latency_s == 1.0


def test_a_task_that_no_device_can_take_keeps_the_reason_of_each() -> None:
    task = make_task("n/t", providers=frozenset({"cuda"}))
    other = make_task("n/u")

    plan = make_plan([task, other], make_snapshot([FAST, SLOW], LATENCY), Policy())

    assert placed(plan) == {"n/u": ("fast", 0.0)}
    assert reasons(plan, "n/t") == {
        "fast": "its provider is cpu, the task asks for cuda",
        "slow": "its provider is cpu, the task asks for cuda",
    }


def test_reject_leaves_out_devices_that_would_be_too_late() -> None:
    task = make_task("n/t", deadline_s=4.0, reject_late=True)
    snapshot = make_snapshot([FAST, SLOW], LATENCY, busy={"fast": [9.0]})

    plan = make_plan([task], snapshot, Policy())

    assert plan.planned == ()
    assert reasons(plan, "n/t") == {
        "fast": "would finish 10.0 s from now, after the deadline",
        "slow": "would finish 10.0 s from now, after the deadline",
    }


def test_a_task_that_cannot_be_planned_takes_no_slot() -> None:
    late = make_task("n/late", created_s=0.0, deadline_s=0.1, reject_late=True)
    good = make_task("n/good", created_s=1.0)

    plan = make_plan([late, good], make_snapshot([FAST], LATENCY), Policy())

    assert placed(plan) == {"n/good": ("fast", 0.0)}


def test_a_decision_keeps_the_best_few_candidates_best_first() -> None:
    devices = [make_device(name) for name in "abcd"]
    latency = {"model": {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}}

    plan = make_plan([make_task()], make_snapshot(devices, latency), Policy(candidates_kept=3))

    assert [each.device.id for each in plan.planned[0].candidates] == ["d", "c", "b"]


@pytest.mark.parametrize(
    ("order", "placement", "message"),
    [
        ("fifo", "mct", "policy order 'fifo' is unknown; use one of ['fcfs', 'edf']"),
        ("fcfs", "x", "policy placement 'x' is unknown; use one of ['mct', 'met']"),
    ],
)
def test_an_unknown_policy_is_refused_with_those_that_exist(
    order: str, placement: str, message: str
) -> None:
    with pytest.raises(ValueError, match="is unknown") as caught:
        Policy(order, placement)

    assert str(caught.value) == message


def test_a_pod_that_was_not_planned_ranks_devices_by_finish() -> None:
    snapshot = make_snapshot([FAST, SLOW], LATENCY, busy={"fast": [20.0]})

    ranking = rank_devices(ModelKey("default/model"), [FAST, SLOW], snapshot)

    assert [(each.device.id, each.finish_s) for each in ranking] == [
        ("slow", 10.0),
        ("fast", 21.0),
    ]
