"""A second scheduler pod takes over, with the reservations that it reads from the pods."""

import json
import re
import subprocess
from collections import Counter

import pytest

from acesniper.testbed.deployment import EXTENDER, NAMESPACE, OPERATOR, SCHEDULER, STANDBY
from fleet_of_five import FleetOfFive, overlaps

TASKS = 20
LEASES = ("ace-sniper-operator", "ace-sniper-planner", "ace-sniper-scheduler")


def holder(fleet: FleetOfFive, lease: str) -> str:
    text = fleet.system.plane.kubectl("get", "lease", lease, "-n", NAMESPACE, "-o", "json")
    identity: str = json.loads(text)["spec"].get("holderIdentity", "")
    return identity


def uid(fleet: FleetOfFive, lease: str) -> str:
    """UID of a Lease; empty if it does not exist."""
    name = f"lease/{lease}"
    shown = ("--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
    return fleet.system.plane.kubectl("get", name, "-n", NAMESPACE, *shown)


def apply_tasks(fleet: FleetOfFive, namespace: str, first: int) -> None:
    models = list(fleet.sources)
    fleet.apply(
        fleet.task(
            f"t{number:02d}",
            namespace,
            model=models[number % len(models)],
            inferences=fleet.inferences(0.5, models[number % len(models)]),
        )
        for number in range(first, first + TASKS // 2)
    )


def check_all_ran_once(fleet: FleetOfFive, namespace: str) -> None:
    statuses, runs = fleet.finish(namespace), fleet.runs(namespace)
    assert len(statuses) == TASKS
    assert {status["phase"] for status in statuses.values()} == {"Succeeded"}
    assert set(Counter(run.task for run in runs).values()) == {1}, "every task ran exactly once"
    assert not overlaps(runs)
    assert all(status["attempts"] == 0 for status in statuses.values())


def test_the_second_pod_takes_over_with_the_same_reservations(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_models(namespace)
    fleet.wait_idle()
    with fleet.system.standby() as port:
        before = holder(fleet, "ace-sniper-planner")
        long = fleet.task("long", namespace, inferences=fleet.inferences(600))
        fleet.apply([long])
        fleet.wait_until(lambda: len(fleet.runs(namespace)) == 1)
        live = fleet.backlogs()
        followed = fleet.backlogs(port)
        fleet.system.plane.kubectl("delete", "itask", "long", "-n", namespace)
        fleet.wait_until(lambda: not any(fleet.backlogs(port).values()))
        ran = len(fleet.runs(namespace))
        apply_tasks(fleet, namespace, 0)
        fleet.wait_until(lambda: len(fleet.runs(namespace)) >= ran + 5)

        for part in (EXTENDER, SCHEDULER):
            fleet.system.kill(part)
        apply_tasks(fleet, namespace, TASKS // 2)
        for run in [run for run in fleet.runs(namespace) if run.task == "long"]:
            del fleet.emulator.runs[run.uid]
        check_all_ran_once(fleet, namespace)
        after = holder(fleet, "ace-sniper-planner")
        for part in (EXTENDER, SCHEDULER):
            fleet.system.restart(part)

    assert (before, after) == (EXTENDER, EXTENDER + STANDBY)
    assert followed == pytest.approx(live, abs=30), "the standby kept the same reservations"
    fleet.apply([fleet.task("back", namespace)])
    assert fleet.finish(namespace, "back")["back"]["phase"] == "Succeeded"


def test_planner_and_scheduler_agree_in_different_pods(fleet: FleetOfFive, namespace: str) -> None:
    """They hold separate leases, so the leaders may be in different pods."""
    planned = re.compile(
        r'^acesniper_decisions_total\{outcome="planned",.*verb="filter"\} [1-9]', re.M
    )
    fleet.add_models(namespace)
    fleet.wait_idle()
    with fleet.system.standby():
        fleet.system.kill(EXTENDER)
        apply_tasks(fleet, namespace, 0)
        fleet.wait_until(lambda: len(fleet.runs(namespace)) >= 5)
        fleet.system.restart(EXTENDER)
        apply_tasks(fleet, namespace, TASKS // 2)
        check_all_ran_once(fleet, namespace)
        planner = holder(fleet, "ace-sniper-planner")
        answers = fleet.system.text("/metrics")

    assert planner == EXTENDER + STANDBY
    assert planned.search(answers), (
        "the extender that does not plan answered its kube-scheduler by plan"
    )


def test_deleted_leases_are_created_again(fleet: FleetOfFive, namespace: str) -> None:
    """Argo CD does not apply Leases, and users delete them."""
    plane = fleet.system.plane
    fleet.add_model(namespace)
    before = {lease: uid(fleet, lease) for lease in LEASES}

    plane.kubectl("delete", "lease", "-n", NAMESPACE, *LEASES)
    plane.children[SCHEDULER].wait_until(lambda: all(uid(fleet, lease) for lease in LEASES))
    fleet.apply([fleet.task("after", namespace)])
    statuses = fleet.finish(namespace)

    assert statuses["after"]["phase"] == "Succeeded"
    assert all(uid(fleet, lease) not in ("", before[lease]) for lease in LEASES)


def test_a_restarted_operator_keeps_the_slots_of_nodes(fleet: FleetOfFive, namespace: str) -> None:
    plane, system = fleet.system.plane, fleet.system
    fleet.add_model(namespace)
    shown = r'jsonpath={.status.allocatable.acesniper\.io/slot}{"\n"}'
    watch = [plane.program("kubectl"), "--kubeconfig", plane.kubeconfig(), "get", "nodes"]

    with subprocess.Popen(
        [*map(str, watch), "--watch", "-o", shown], stdout=subprocess.PIPE, text=True
    ) as watching:
        system.kill(OPERATOR)
        system.restart(OPERATOR)
        fleet.apply([fleet.task("after", namespace)])
        fleet.finish(namespace)
        watching.terminate()
        slots, _ = watching.communicate(timeout=10)

    assert set(slots.split()) == {"1"}
