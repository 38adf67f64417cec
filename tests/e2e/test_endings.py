"""Terminations that need a real API server with its controllers and schedulers."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from acesniper.api.objects import Json
from acesniper.api.units import epoch_s
from acesniper.testbed.deployment import EXTENDER
from acesniper.testbed.errors import CommandFailed
from acesniper.testbed.kwok import make_node
from fleet_of_five import FleetOfFive
from played_by_hand import PlayedByHand, played_by_hand

HOSTNAME = "kubernetes.io/hostname"
HOUR_S = 3600.0


@pytest.fixture
def by_hand(fleet: FleetOfFive, namespace: str) -> Iterator[PlayedByHand]:
    fleet.add_model(namespace)
    with played_by_hand(fleet, namespace) as hand:
        yield hand


def condition(status: Json, kind: str) -> Json:
    return next(entry for entry in status["conditions"] if entry["type"] == kind)


def patch(fleet: FleetOfFive, kind: str, name: str, namespace: str, change: Json) -> None:
    fleet.system.plane.kubectl(
        "patch", kind, name, "-n", namespace, "--type=merge", "-p", json.dumps(change)
    )


def start_long(fleet: FleetOfFive, namespace: str, **spec: Any) -> Json:  # noqa: ANN401
    """A task that runs for an hour, and its pod, once that runs."""
    fleet.add_model(namespace)
    fleet.apply([fleet.task("long", namespace, inferences=fleet.inferences(HOUR_S), **spec)])
    fleet.wait_for("inferencetask", "jsonpath={.status.phase}=Running", namespace, "long")
    return fleet.get("pods", namespace)[0]


def wait_for_attempt(fleet: FleetOfFive, namespace: str, attempts: int = 1) -> Json:
    fleet.wait_for("inferencetask", f"jsonpath={{.status.attempts}}={attempts}", namespace, "long")
    status: Json = fleet.tasks(namespace)["long"]["status"]
    return status


# --- the application -----------------------------------------------------------------------------


def test_an_out_of_memory_task_is_retried_on_a_larger_device(
    by_hand: PlayedByHand, fleet: FleetOfFive, namespace: str
) -> None:
    memory = {device.node: device.profile["status"]["memoryBytes"] for device in fleet.devices}
    smallest, largest = fleet.devices[0].node, fleet.devices[-1].node
    fleet.apply([by_hand.task("big", retries=5, nodeSelector={HOSTNAME: smallest})])
    tried = []
    for attempt, expected in enumerate((None, largest, None)):
        pod = by_hand.bound_pod("big", attempt)
        tried.append(memory[pod["spec"]["nodeName"]])
        # The node selector may change; the next attempt uses the new one.
        patch(fleet, "itask", "big", namespace, {"spec": {"nodeSelector": {HOSTNAME: expected}}})
        by_hand.ended(pod, 137, "OOMKilled")
        if tried[-1] == memory[largest]:
            break
    status = fleet.finish(namespace, "big")["big"]

    (model,) = (profile["status"] for profile in fleet.get("mprof", namespace) if _learned(profile))
    assert len(tried) > 1
    assert tried == sorted(set(tried)), "each attempt had more memory"
    assert model["needsMemoryBytes"] == tried[-1] + 1
    assert status["message"].endswith("no device has more memory")
    assert condition(status, "Finished")["reason"] == "OutOfMemory"


def _learned(model: Json) -> bool:
    return "needsMemoryBytes" in model["status"]


def test_an_image_that_cannot_be_pulled_fails_the_task(
    by_hand: PlayedByHand, fleet: FleetOfFive, namespace: str
) -> None:
    fleet.apply([by_hand.task("unknown", retries=0)])
    pod = by_hand.bound_pod("unknown")

    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    by_hand.write_status(pod, "Pending", waiting)
    fleet.wait_for("inferencetask", "condition=Healthy=False", namespace, "unknown")
    status = fleet.finish(namespace, "unknown")["unknown"]

    assert condition(status, "Finished")["reason"] == "ImagePullFailed"
    assert "image example cannot be pulled: no such image" in status["message"]
    assert "ImagePullFailed" in fleet.events(namespace, "unknown")


def test_a_node_clock_an_hour_ahead_distorts_no_observation(
    by_hand: PlayedByHand, fleet: FleetOfFive, namespace: str
) -> None:
    fleet.apply([by_hand.task("skewed")])
    pod = by_hand.bound_pod("skewed")
    bound = condition(pod["status"], "PodScheduled")["lastTransitionTime"]
    theirs_s = epoch_s(bound) + HOUR_S

    by_hand.succeeded(pod, theirs_s, theirs_s + 1.0, theirs_s + 3.0)
    observed = fleet.finish(namespace, "skewed")["skewed"]["observed"]

    assert observed["containerSeconds"] == 1.0
    assert observed["waitSeconds"] < HOUR_S / 2
    assert epoch_s(observed["finishTime"]) < time.time() + HOUR_S / 2


# --- the cluster ---------------------------------------------------------------------------------


def test_a_task_whose_node_is_deleted_runs_elsewhere(fleet: FleetOfFive, namespace: str) -> None:
    node = start_long(fleet, namespace)["spec"]["nodeName"]
    try:
        fleet.system.plane.kubectl("delete", "node", node)
        status = wait_for_attempt(fleet, namespace)
        fleet.wait_for("inferencetask", "jsonpath={.status.phase}=Running", namespace, "long")
    finally:
        fleet.apply([make_node(node)])

    again = fleet.tasks(namespace)["long"]["status"]
    assert condition(status, "Retrying")["reason"] == "NodeLost"
    assert (again["attempts"], again["disruptions"]) == (1, 1)
    assert again["node"] != node
    slots = r"jsonpath={.status.allocatable.acesniper\.io/slot}=1"
    fleet.wait_for("node", slots, namespace, node)


def test_a_taint_moves_a_task_without_costing_a_retry(fleet: FleetOfFive, namespace: str) -> None:
    node = start_long(fleet, namespace, retries=0)["spec"]["nodeName"]
    taint = "acesniper.io/test"
    try:
        fleet.system.plane.kubectl("taint", "node", node, f"{taint}=now:NoExecute")
        status = wait_for_attempt(fleet, namespace)
    finally:
        fleet.system.plane.kubectl("taint", "node", node, f"{taint}-")

    assert condition(status, "Retrying")["reason"] == "NodeTainted"
    assert (status["phase"], status["disruptions"]) != ("Failed", 0)


def test_an_eviction_costs_no_retry(fleet: FleetOfFive, namespace: str) -> None:
    pod = start_long(fleet, namespace, retries=0)["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": namespace},
    }

    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    fleet.system.plane.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    status = wait_for_attempt(fleet, namespace)

    assert condition(status, "Retrying")["reason"] == "Evicted"
    assert status["disruptions"] == 1
    assert "Evicted" in fleet.events(namespace, "long")


def test_preemption_by_a_higher_priority_costs_no_retry(fleet: FleetOfFive, namespace: str) -> None:
    here = {HOSTNAME: fleet.devices[0].node}
    priority: Json = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000}
    fleet.apply([{**priority, "metadata": {"name": namespace}}])
    start_long(fleet, namespace, retries=0, nodeSelector=here)
    container: Json = {"name": "main", "image": "example"}
    container |= {"resources": {"limits": {"acesniper.io/slot": "1"}}}
    urgent: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "urgent"}}
    urgent["metadata"]["namespace"] = namespace
    urgent["spec"] = {"priorityClassName": namespace, "nodeSelector": here}
    urgent["spec"]["containers"] = [container]

    fleet.apply([urgent])
    status = wait_for_attempt(fleet, namespace)
    fleet.system.plane.kubectl("delete", "priorityclass", namespace)

    assert condition(status, "Retrying")["reason"] == "Preempted"
    assert status["disruptions"] == 1


def test_a_refused_pod_is_reported_and_created_later(fleet: FleetOfFive, namespace: str) -> None:
    fleet.add_model(namespace)
    fleet.apply([fleet.task("early", namespace, priorityClassName=namespace)])
    fleet.wait_for("inferencetask", "condition=Healthy=False", namespace, "early")
    refused = fleet.tasks(namespace)["early"]["status"]

    priority: Json = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1}
    fleet.apply([{**priority, "metadata": {"name": namespace}}])
    status = fleet.finish(namespace, "early")["early"]
    fleet.system.plane.kubectl("delete", "priorityclass", namespace)

    assert f"no PriorityClass with name {namespace}" in refused["message"]
    assert status["phase"] == "Succeeded"


def test_slots_are_counted_in_every_notation_of_quantities(
    fleet: FleetOfFive, namespace: str
) -> None:
    """The API server stores 1e3 unchanged."""
    fleet.add_model(namespace)
    limits = {"acesniper.io/slot": "1e3"}
    container: Json = {"name": "main", "image": "example", "resources": {"limits": limits}}
    pod: Json = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}}
    fleet.apply([{**pod, "metadata": {"name": "many", "namespace": namespace}}])

    fleet.apply([fleet.task("after", namespace)])

    assert fleet.finish(namespace, "after")["after"]["phase"] == "Succeeded"
    assert fleet.system.plane.children[EXTENDER].running


# --- users ---------------------------------------------------------------------------------------


def test_a_cancelled_task_frees_its_device_and_stays_cancelled(
    fleet: FleetOfFive, namespace: str
) -> None:
    start_long(fleet, namespace)

    patch(fleet, "itask", "long", namespace, {"spec": {"cancel": True}})
    status = fleet.finish(namespace, "long")["long"]
    fleet.wait_for("pod", "delete", namespace, "--all")

    assert condition(status, "Finished")["reason"] == "Cancelled"
    assert "Cancelled" in fleet.events(namespace, "long")
    with pytest.raises(CommandFailed, match="cannot be reset"):
        patch(fleet, "itask", "long", namespace, {"spec": {"cancel": False}})


def test_the_spec_of_a_running_task_is_immutable(fleet: FleetOfFive, namespace: str) -> None:
    start_long(fleet, namespace)

    for change in ({"inferences": 1}, {"model": "resnet18"}, {"runtime": ["cuda"]}):
        (field,) = change
        with pytest.raises(CommandFailed, match=f"spec.{field} is immutable"):
            patch(fleet, "itask", "long", namespace, {"spec": change})

    fleet.system.plane.kubectl("delete", "itask", "long", "-n", namespace)


def test_a_queued_task_runs_the_current_model_of_its_name(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_model(namespace)
    model, other = "mobilenet-v3-small", fleet.sources["squeezenet1-1"]
    fleet.apply([fleet.task("queued", namespace, nodeSelector={HOSTNAME: "no-such-node"})])
    fleet.wait_for("inferencetask", "jsonpath={.status.phase}=Queued", namespace, "queued")

    fleet.system.plane.kubectl("delete", "mprof", model, "-n", namespace)
    profile: Json = {"apiVersion": "acesniper.io/v1alpha1", "kind": "ModelProfile"}
    profile |= {"metadata": {"name": model, "namespace": namespace}}
    fleet.apply(
        [{**profile, "spec": {"source": other.model_dump(by_alias=True, exclude_none=True)}}]
    )
    sha256 = rf"jsonpath={{.metadata.annotations.acesniper\.io/model-sha256}}={other.sha256}"
    fleet.wait_for("inferencetask", "jsonpath={.status.incarnation}=1", namespace, "queued")
    fleet.wait_for("pod", sha256, namespace, "--all")

    assert "ModelChanged" in fleet.events(namespace, "queued")
    assert fleet.tasks(namespace)["queued"]["status"]["attempts"] == 0


def test_deleting_a_namespace_deletes_its_tasks(fleet: FleetOfFive, namespace: str) -> None:
    plane = fleet.system.plane
    name = f"{namespace}-gone"
    plane.kubectl("create", "namespace", name)
    ready = plane.api_answers(f"/api/v1/namespaces/{name}/serviceaccounts/default")
    plane.children["kube-controller-manager"].wait_until(ready)
    start_long(fleet, name)
    busy = {"inferences": fleet.inferences(HOUR_S)}
    fleet.apply(fleet.task(f"more-{number}", name, **busy) for number in range(10))

    plane.kubectl("delete", "namespace", name, "--timeout=60s", timeout_s=90)

    fleet.wait_idle()
    assert "Traceback" not in plane.children["acesniper-operator"].tail(10_000)
