"""Accounts of namespaces, one rule at a time."""

import pytest

from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import PodUid, Reservation
from acesniper.policies.plan import make_plan
from acesniper.policies.policy import Policy
from acesniper.policies.shares import CREDIT_S, MAX_IDLE, ShareAccounts, Shares
from builders import make_device, make_snapshot, make_task

D1 = DeviceId("d1")


def running(
    namespace: str, expected_s: float, started_s: float | None = 0.0
) -> dict[PodUid, Reservation]:
    return {PodUid(f"pod-{namespace}"): Reservation(D1, expected_s, started_s, namespace=namespace)}


def test_a_pod_is_charged_its_prediction_then_its_overrun_and_at_last_its_use() -> None:
    accounts = ShareAccounts()

    charged = []
    for now_s, held in ((1.0, True), (9.0, True), (20.0, True), (30.0, False)):
        accounts.update(running("a", 10.0) if held else {}, ["a", "b"], now_s)
        charged.append(accounts.account_s("a"))

    assert charged == pytest.approx([10.0, 10.0, 22.0, 30.0])
    assert accounts.used_s == {"a": pytest.approx(30.0)}


def test_a_short_run_is_refunded_and_a_weight_divides_the_charge() -> None:
    accounts = ShareAccounts(Shares({"a": 4.0}))
    accounts.update(running("a", 80.0), ["a"], 0.0)

    before_s = accounts.account_s("a")
    accounts.update({}, ["a"], 8.0)

    assert (before_s, accounts.account_s("a")) == (20.0, 2.0)


def test_a_run_between_two_updates_is_charged_and_a_cancelled_one_is_not() -> None:
    accounts = ShareAccounts()
    short = Reservation(D1, 5.0, namespace="a")
    withdrawn = Reservation(D1, 7.0, namespace="b")

    accounts.reserve(PodUid("short"), short)
    accounts.reserve(PodUid("withdrawn"), withdrawn)
    accounts.cancel(PodUid("withdrawn"))
    accounts.update({}, ["a", "b"], 100.0)

    assert (accounts.account_s("a"), accounts.account_s("b")) == (5.0, 0.0)


def test_who_was_idle_gets_no_credit_and_who_used_the_idle_fleet_no_debt() -> None:
    accounts = ShareAccounts()
    for number in range(50):
        accounts.reserve(PodUid(f"p{number}"), Reservation(D1, 100.0, namespace="early"))
    accounts.update({}, ["early"], 0.0)

    accounts.update({}, ["early", "late"], 1.0)

    assert accounts.account_s("early") - accounts.account_s("late") == 100.0  # one task


def test_who_waits_for_a_busy_device_catches_up_on_a_limited_time() -> None:
    accounts = ShareAccounts()
    accounts.update({}, ["blocked", "busy"], 0.0)
    for number in range(50):
        accounts.reserve(PodUid(f"p{number}"), Reservation(D1, 100.0, namespace="busy"))

    accounts.update({}, ["blocked", "busy"], 1.0)

    assert accounts.reached_s - accounts.account_s("blocked") == CREDIT_S


def test_a_new_process_charges_the_pods_that_run() -> None:
    accounts = ShareAccounts()

    accounts.update(running("a", 600.0), ["a", "b"], 100.0)

    assert (accounts.account_s("a"), accounts.account_s("b")) == (600.0, 0.0)


def test_of_namespaces_without_tasks_a_limited_number_is_kept() -> None:
    accounts = ShareAccounts()
    for number in range(2 * MAX_IDLE):
        accounts.update(running(f"n{number}", 1.0, float(number)), [], float(number))
    accounts.update({}, ["last"], 1e4)

    assert len(accounts.used_s) <= MAX_IDLE + 1
    assert len(accounts._accounts_s) <= MAX_IDLE + 1


def test_waiting_for_one_kind_of_device_does_not_hold_up_others() -> None:
    devices = [make_device("gpu", provider="cuda"), make_device("cpu")]
    latency = {"m": {"gpu": 1.0, "cpu": 1.0}}
    snapshot = make_snapshot(devices, latency, {"gpu": [50.0]})
    mixed = [
        make_task(f"mixed/g{number}", "default/m", inferences=100, providers=frozenset({"cuda"}))
        for number in range(20)
    ]
    mixed.append(make_task("mixed/c", "default/m", created_s=1.0, providers=frozenset({"cpu"})))
    other = [
        make_task(f"other/{number}", "default/m", created_s=2.0, providers=frozenset({"cpu"}))
        for number in range(20)
    ]
    accounts = ShareAccounts()
    accounts.update({}, ["mixed", "other"], 3.0)

    plan = make_plan([*mixed, *other], snapshot, Policy("fcfs-mct"), shares=accounts)

    order = [item.task.key for item in plan.planned if item.device.id == "cpu"]
    assert order[0] == "mixed/c"


@pytest.mark.parametrize(("cluster", "first"), [(False, "few/plain"), (True, "crowd/urgent")])
def test_a_priority_counts_in_its_namespace_or_in_the_cluster(cluster: bool, first: str) -> None:
    tasks = [
        make_task("crowd/urgent", "default/m", priority=1000),
        make_task("few/plain", "default/m", created_s=1.0),
    ]
    accounts = ShareAccounts(Shares(cluster_priorities=cluster))
    accounts.update(running("crowd", 5.0), ["crowd", "few"], 2.0)
    snapshot = make_snapshot([make_device("d2")], {"m": {"d2": 1.0}})

    plan = make_plan(tasks, snapshot, Policy("fcfs-mct"), shares=accounts)

    assert plan.planned[0].task.key == first


def test_a_task_is_not_placed_where_it_would_run_longer_than_the_limit() -> None:
    devices = [make_device("fast"), make_device("slow")]
    latency = {"m": {"fast": 1.0, "slow": 9.0}}
    snapshot = make_snapshot(devices, latency, {"fast": [100.0]})
    policy = Policy("fcfs-mct", max_run_s=50.0)

    fits = make_plan([make_task(model="default/m", inferences=10)], snapshot, policy)
    long = make_plan([make_task(model="default/m", inferences=60)], snapshot, policy)

    assert [item.device.id for item in fits.planned] == ["fast"]
    (key,) = long.unplanned
    reasons = long.infeasible_devices(key, snapshot)
    assert {item.reason for item in reasons.values()} == {
        "would run for 60 s, the limit of a task's run time is 50 s",
        "would run for 540 s, the limit of a task's run time is 50 s",
    }
