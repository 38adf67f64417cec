"""Pods run on the planned device, one at a time; also without the extender."""

import pytest

from acesniper.operator.admission_window import SPARE_TASKS
from acesniper.testbed.deployment import EXTENDER
from fleet_of_five import FleetOfFive, overlaps


def pod(name: str, namespace: str, **labels: str) -> dict[str, object]:
    """A pod that requests our scheduler, with its model as a label."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "schedulerName": "ace-sniper",
            "containers": [{"name": "main", "image": "example"}],
        },
    }


def test_a_burst_is_spread_over_devices_one_task_at_a_time(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_models(namespace)
    models = [name for name in fleet.sources for _ in range(7)]

    fleet.apply(
        fleet.task(
            f"t{number:02d}", namespace, model=model, inferences=fleet.inferences(0.3, model)
        )
        for number, model in enumerate(models)
    )
    statuses = fleet.finish(namespace)
    fleet.wait_until(lambda: sum(run.phase == "Succeeded" for run in fleet.runs(namespace)) == 21)

    runs = fleet.runs(namespace)
    assert {status["phase"] for status in statuses.values()} == {"Succeeded"}
    assert len(runs) == 21
    assert not overlaps(runs)
    for run in runs:
        decision = fleet.system.ask(f"/explain?pod={run.uid}")
        assert decision["answered"] == run.node, "kube-scheduler used the extender's node"
        assert decision["candidates"][0]["node"] == run.node
        # The policy may prefer another device to the one where this task would finish first.
        _, *others = [candidate["finishSeconds"] for candidate in decision["candidates"]]
        assert others == sorted(others)


def test_unschedulable_tasks_do_not_block_others(fleet: FleetOfFive, namespace: str) -> None:
    fleet.add_model(namespace)
    fleet.wait_idle()
    more_than_get_a_pod = 2 * len(fleet.devices) + SPARE_TASKS + 10

    fleet.apply(
        fleet.task(f"stuck-{number:02d}", namespace, runtime=["cuda"])
        for number in range(more_than_get_a_pod)
    )
    fleet.wait_for(
        "inferencetask",
        "jsonpath={.status.phase}=Queued",
        namespace,
        *(f"stuck-{number:02d}" for number in range(more_than_get_a_pod)),
    )
    fleet.apply([fleet.task("able", namespace)])

    assert fleet.finish(namespace, "able")["able"]["phase"] == "Succeeded"


def test_a_labelled_pod_goes_to_the_fastest_idle_node(fleet: FleetOfFive, namespace: str) -> None:
    fleet.add_models(namespace)
    fleet.wait_idle()

    fleet.apply([pod("server", namespace, **{"acesniper.io/model": "resnet18"})])
    fleet.wait_for("pod", "condition=PodScheduled", namespace, "server")

    fleet.apply([fleet.task("same", namespace, model="resnet18")])
    predicted = fleet.finish(namespace)["same"]
    node = fleet.get("pods", namespace)
    chosen = next(pod["spec"]["nodeName"] for pod in node if pod["metadata"]["name"] == "server")
    assert chosen == predicted["node"]


def test_a_slot_bound_by_another_scheduler_counts_as_taken(
    fleet: FleetOfFive, namespace: str
) -> None:
    """A pod bound by the stock scheduler occupies the device until it is deleted."""
    fleet.add_model(namespace)
    fleet.wait_idle()
    fleet.apply([fleet.task("first", namespace)])
    best = fleet.finish(namespace, "first")["first"]["node"]
    foreign = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "foreign", "namespace": namespace},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": best},
            "containers": [
                {
                    "name": "main",
                    "image": "example",
                    "resources": {"limits": {"acesniper.io/slot": "1"}},
                }
            ],
        },
    }
    fleet.apply([foreign])
    fleet.wait_until(lambda: fleet.backlogs()[best] > 0.0)

    fleet.apply([fleet.task("second", namespace)])
    second = fleet.finish(namespace, "second")["second"]
    fleet.system.plane.kubectl("delete", "pod", "foreign", "-n", namespace)
    fleet.wait_idle()
    fleet.apply([fleet.task("third", namespace)])
    third = fleet.finish(namespace, "third")["third"]

    assert second["node"] != best
    assert third["node"] == best


def test_a_pod_with_an_unknown_model_is_placed_with_an_event(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.apply([pod("foreign", namespace, **{"acesniper.io/model": "unknown"})])

    fleet.wait_for("pod", "condition=PodScheduled", namespace, "foreign")

    fleet.wait_until(lambda: "NoPrediction" in fleet.events(namespace, "foreign"))


def test_a_pod_of_ours_is_placed_while_the_extender_is_down(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.system.kill(EXTENDER)
    try:
        fleet.apply([pod("alone", namespace)])

        fleet.wait_for("pod", "condition=PodScheduled", namespace, "alone")
    finally:
        fleet.system.restart(EXTENDER)


@pytest.mark.parametrize(
    "path", ["/explain?pod=unknown", "/explain?pod=default/unknown"], ids=["uid", "name"]
)
def test_explaining_an_unknown_pod_names_the_valid_forms(fleet: FleetOfFive, path: str) -> None:
    with pytest.raises(Exception, match="pass its UID or namespace/name"):
        fleet.system.ask(path)


def test_a_node_without_a_profile_is_not_a_candidate(fleet: FleetOfFive, namespace: str) -> None:
    fleet.add_model(namespace)
    bare = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "bare", "annotations": {"kwok.x-k8s.io/node": "fake"}},
    }
    fleet.apply([bare])
    fleet.wait_for("node", "condition=Ready", namespace, "bare")

    fleet.apply([fleet.task("careful", namespace)])
    status = fleet.finish(namespace)["careful"]
    fleet.system.plane.kubectl("delete", "node", "bare")

    assert status["node"] in {device.node for device in fleet.devices}


def test_a_task_on_a_tainted_node_is_planned_on_another(fleet: FleetOfFive, namespace: str) -> None:
    """The planner knows the taint before kube-scheduler is asked: no pod is withdrawn."""
    fleet.add_model(namespace)
    fleet.wait_idle()
    fleet.apply([fleet.task("first", namespace)])
    best = fleet.finish(namespace)["first"]["node"]
    taint = "example.com/full=true:NoSchedule"
    fleet.system.plane.kubectl("taint", "node", best, taint)

    try:
        fleet.apply([fleet.task("second", namespace)])
        status = fleet.finish(namespace)["second"]
    finally:
        fleet.system.plane.kubectl("taint", "node", best, f"{taint}-")

    assert status["phase"] == "Succeeded"
    assert status["node"] != best
    assert status["attempts"] == status["incarnation"] == 0
