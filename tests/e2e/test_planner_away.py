"""Without a planner, the operator admits tasks first come, first served."""

from acesniper.testbed.deployment import EXTENDER
from fleet_of_five import FleetOfFive, overlaps

TASKS = 8


def test_tasks_start_in_order_while_the_planner_is_down_and_by_plan_afterwards(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_model(namespace)
    fleet.wait_idle()
    fleet.system.kill(EXTENDER)
    try:
        fleet.apply(
            fleet.task(f"t{number}", namespace, inferences=fleet.inferences(0.5))
            for number in range(TASKS)
        )
        alone = fleet.finish(namespace)
    finally:
        fleet.system.restart(EXTENDER)
    fleet.apply([fleet.task("planned", namespace)])
    planned = fleet.finish(namespace, "planned")["planned"]

    assert {status["phase"] for status in alone.values()} == {"Succeeded"}
    assert all("decision" not in status for status in alone.values()), "they were not planned"
    assert len(fleet.runs(namespace)) == TASKS + 1
    assert not overlaps(fleet.runs(namespace))
    assert planned["decision"]["candidates"][0]["node"] == planned["node"]


def test_the_planner_holds_its_lease(fleet: FleetOfFive) -> None:
    lease = fleet.system.plane.kubectl(
        "get",
        "lease",
        "ace-sniper-planner",
        "-n",
        "acesniper-system",
        "-o",
        "jsonpath={.spec.holderIdentity}",
    )

    assert lease != ""
