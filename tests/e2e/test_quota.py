"""A ResourceQuota limits the share of a namespace."""

from fleet_of_five import FleetOfFive

MOST = 2
TASKS = 6


def test_a_quota_of_slots_limits_concurrent_tasks_of_a_namespace(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_model(namespace)
    fleet.wait_idle()
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "slots", "namespace": namespace},
        "spec": {"hard": {"requests.acesniper.io/slot": str(MOST)}},
    }
    fleet.apply([quota])
    in_force = r"jsonpath={.status.hard.requests\.acesniper\.io/slot}=" + str(MOST)
    fleet.wait_for("resourcequota", in_force, namespace, "slots")

    fleet.apply(
        fleet.task(f"t{number}", namespace, inferences=fleet.inferences(0.5))
        for number in range(TASKS)
    )
    statuses = fleet.finish(namespace)

    runs = fleet.runs(namespace)
    spans = [(run.started_s or 0.0, run.finished_s or 0.0) for run in runs]
    at_once = [sum(start <= at < end for start, end in spans) for at, _ in spans]
    assert {status["phase"] for status in statuses.values()} == {"Succeeded"}
    assert len(runs) == TASKS
    assert max(at_once) <= MOST
