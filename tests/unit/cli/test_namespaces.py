"""`acesniper top --namespaces` and the reason in `acesniper explain`."""

import pytest
from rich.console import Console

from acesniper.cli.namespaces import namespace_table, parse_uses
from acesniper.domain.errors import Unavailable
from acesniper.domain.reservations import PodUid, Reservation
from acesniper.domain.task import TaskKey
from acesniper.extender.namespaces import NamespaceShares
from acesniper.policies.plan import make_plan
from acesniper.policies.policy import Policy
from acesniper.policies.shares import ShareAccounts, Shares
from builders import make_device, make_snapshot, make_task

LATENCY = {"m": {"d1": 1.0, "d2": 1.0}}


def planned_shares(
    limit_s: float | None, *names: str, busy_s: float = 0.0
) -> tuple[NamespaceShares, str, str]:
    """Shares of a crowd with three tasks and a tenant with one; the reasons of two tasks."""
    limits = {} if limit_s is None else {"crowd": limit_s}
    shares = NamespaceShares(ShareAccounts(Shares({"few": 2.0}, limits)))
    tasks = [
        make_task(f"crowd/t{number}", "default/m", created_s=float(number), inferences=10)
        for number in range(3)
    ]
    tasks.append(make_task("few/late", "default/m", created_s=5.0, inferences=10))
    devices = [make_device(name) for name in names]
    running = Reservation(devices[0].id, 50.0, 0.0, namespace="crowd")
    accounts = shares.update({PodUid("p"): running}, tasks, 10.0)
    snapshot = make_snapshot(devices, LATENCY, {"d1": [busy_s]} if busy_s else {}, now_s=10.0)
    plan = make_plan(tasks, snapshot, Policy("fcfs-mct"), shares=accounts)
    shares.uses = shares.uses_in(plan, tasks)
    crowd, few = (
        str(shares.waiting_reason(TaskKey(key), plan, plan.planned))
        for key in ("crowd/t0", "few/late")
    )
    return shares, crowd, few


def test_a_task_that_waits_for_the_share_of_its_namespace_is_explained() -> None:
    _, crowd, few = planned_shares(None, "d1", busy_s=40.0)

    assert few == "waits for d1, which is planned for it in 40 s; tasks before it: 0"
    assert crowd == (
        "waits for the share of namespace crowd, weight 1 (scheduling.settings.namespaceWeights):"
        " tasks before it: 1 of other namespaces, 0 of its own; waits for d1, which is planned for"
        " it in 50 s"
    )


def test_a_task_of_a_namespace_at_its_limit_is_explained() -> None:
    _, crowd, few = planned_shares(45.0, "d1", "d2")

    assert few == "starts on d1 now"
    assert crowd == (
        "namespace crowd holds 40 s of predicted device time; with this task it would exceed its"
        " limit of 45 s (scheduling.settings.namespaceLimits)"
    )


def test_the_table_has_the_next_namespace_first() -> None:
    shares, _, _ = planned_shares(600.0, "d1", busy_s=40.0)
    console = Console(width=120)

    with console.capture() as shown:
        console.print(namespace_table([use.row() for use in shares.uses.values()]))

    heading, first, second = shown.get().splitlines()
    assert heading.split()[0] == "Namespace"
    assert first.split()[:3] == ["few", "2", "1"]
    assert second.split()[:3] == ["crowd", "1", "3"]


@pytest.mark.parametrize("text", ["<html>", "{}", "[1]"])
def test_another_response_is_an_error(text: str) -> None:
    with pytest.raises(Unavailable, match="--extender"):
        parse_uses(text)
