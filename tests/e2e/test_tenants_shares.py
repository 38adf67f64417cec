"""Namespaces share the fleet: neither many tasks nor endless ones keep others from their share."""

import json
from collections.abc import Iterator

import pytest

from acesniper.api.units import epoch_s
from acesniper.testbed import ControlPlane
from fleet_of_five import FleetOfFive

CROWD = 300
"""Tasks of the crowded namespace: they keep the five devices busy for minutes."""
FEW = 10
MAX_RATIO = 3.0
"""Half of each device is the share of two namespaces of equal weight, which doubles the response;
the rest is one running task of the other namespace, and the resolution of timestamps."""


@pytest.fixture
def crowd(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """A second namespace, whose tasks are deleted afterwards."""
    name = f"crowd-{namespace[:50]}".rstrip("-")
    control_plane.kubectl("create", "namespace", name)
    ready = control_plane.api_answers(f"/api/v1/namespaces/{name}/serviceaccounts/default")
    control_plane.children["kube-controller-manager"].wait_until(ready)
    yield name
    control_plane.kubectl("delete", "inferencetasks", "--all", "-n", name, timeout_s=120)
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


def mean_response_s(fleet: FleetOfFive, namespace: str, names: list[str]) -> float:
    """Mean time from creation to finish of tasks, after waiting for them."""
    fleet.finish(namespace, *names)
    tasks = fleet.tasks(namespace)
    return sum(
        epoch_s(tasks[name]["status"]["observed"]["finishTime"])
        - epoch_s(tasks[name]["metadata"]["creationTimestamp"])
        for name in names
    ) / len(names)


def test_a_namespace_with_hundreds_of_tasks_delays_one_with_ten_by_its_share_only(
    fleet: FleetOfFive, namespace: str, crowd: str
) -> None:
    for name in (namespace, crowd):
        fleet.add_model(name)
    fleet.wait_idle()
    size = fleet.inferences(2.0)

    def run_few(stem: str) -> float:
        names = [f"{stem}-{number}" for number in range(FEW)]
        fleet.apply(fleet.task(name, namespace, inferences=size) for name in names)
        return mean_response_s(fleet, namespace, names)

    alone_s = run_few("alone")
    fleet.apply(fleet.task(f"c{number}", crowd, inferences=size) for number in range(CROWD))
    fleet.wait_until(lambda: len(fleet.runs(crowd)) >= len(fleet.devices))
    together_s = run_few("together")

    assert len([run for run in fleet.runs(crowd) if run.finished_s is None]) > 0  # still crowded
    assert together_s <= MAX_RATIO * alone_s, f"{together_s:.1f} s together, {alone_s:.1f} s alone"


def test_endless_tasks_are_refused_and_others_start(
    fleet: FleetOfFive, namespace: str, crowd: str
) -> None:
    for name in (namespace, crowd):
        fleet.add_model(name)
    fleet.wait_idle()

    fleet.apply(
        fleet.task(f"endless-{number}", crowd, inferences=700_000_000 + number)
        for number in range(2 * len(fleet.devices))
    )
    fleet.apply([fleet.task("honest", namespace, inferences=fleet.inferences(1.0))])

    assert fleet.finish(namespace, "honest")["honest"]["phase"] == "Succeeded"
    for name, status in fleet.finish(crowd).items():
        finished = {item["type"]: item for item in status["conditions"]}["Finished"]
        assert (status["phase"], finished["reason"]) == ("Failed", "LimitExceeded")
        inferences = 700_000_000 + int(name.rpartition("-")[2])
        assert f"spec.inferences {inferences} " in finished["message"]
        assert "per task (scheduling.settings.maxTaskS)" in finished["message"]
    assert not fleet.runs(crowd)
    (pod,) = fleet.get("pods", namespace)
    limit_s = float(fleet.system.environment["ACESNIPER_MAX_TASK_S"])
    assert pod["spec"]["activeDeadlineSeconds"] == 1.5 * limit_s


def test_a_pod_that_another_controller_holds_takes_no_device_until_it_is_released(
    fleet: FleetOfFive, namespace: str
) -> None:
    """As Kueue does: it adds its own scheduling gate to pods that carry a queue's name."""
    gate = {"name": "kueue.x-k8s.io/admission"}
    fleet.add_model(namespace)
    fleet.wait_idle()
    container = {"name": "runner", "image": "runner"}
    template = {"spec": {"schedulingGates": [gate], "containers": [container]}}
    held = fleet.task("held", namespace, inferences=1, template=template)
    held["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "team"}

    fleet.apply([held])
    waits = "jsonpath={.status.message}=waits for scheduling gate kueue.x-k8s.io/admission,"
    waits += " which another controller has to remove"
    fleet.wait_for("inferencetask", waits, namespace, "held")
    free = fleet.task("free", namespace, inferences=1)
    fleet.apply([free])
    fleet.finish(namespace, "free")

    (pod,) = [pod for pod in fleet.get("pods", namespace) if "held" in pod["metadata"]["name"]]
    assert pod["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert not fleet.runs(namespace)[1:]
    assert not any(fleet.backlogs().values())
    gates = [item for item in pod["spec"]["schedulingGates"] if item != gate]
    patch = json.dumps({"spec": {"schedulingGates": gates}})
    name = pod["metadata"]["name"]
    fleet.system.plane.kubectl("patch", "pod", name, "-n", namespace, "--type=merge", "-p", patch)
    assert fleet.finish(namespace, "held")["held"]["phase"] == "Succeeded"
