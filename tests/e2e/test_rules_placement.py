"""Tasks that only some nodes can take, by rules that kube-scheduler enforces."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fleet_of_five import FleetOfFive


@pytest.fixture
def slowest(fleet: FleetOfFive) -> str:
    """The node of the slowest device."""
    return max(fleet.devices, key=lambda device: device.latency_s["mobilenet-v3-small"]).node


@pytest.fixture
def fastest(fleet: FleetOfFive) -> str:
    """The node of the fastest device."""
    return min(fleet.devices, key=lambda device: device.latency_s["mobilenet-v3-small"]).node


@pytest.fixture
def tainted(fleet: FleetOfFive, fastest: str) -> Iterator[str]:
    """The fastest node, with a taint."""
    fleet.system.plane.kubectl("taint", "node", fastest, "rules.example/reserved=x:NoSchedule")
    yield fastest
    fleet.system.plane.kubectl("taint", "node", fastest, "rules.example/reserved-")


def local_volume(name: str, namespace: str, node: str) -> list[dict[str, Any]]:
    """A volume on one node, and the claim that is bound to it."""
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{name}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local-path",
            "local": {"path": "/data"},
            "claimRef": {"namespace": namespace, "name": name},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local-path",
            "volumeName": f"{namespace}-{name}",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    return [volume, claim]


def test_a_task_runs_where_its_volume_is_at_the_first_attempt(
    fleet: FleetOfFive, namespace: str, slowest: str
) -> None:
    fleet.add_model(namespace)
    fleet.apply(local_volume("pictures", namespace, slowest))

    fleet.apply([fleet.task("local", namespace, input={"uri": "pvc://pictures/batches"})])
    status = fleet.finish(namespace)["local"]

    assert (status["phase"], status["node"]) == ("Succeeded", slowest)
    assert not status.get("incarnation"), "no pod was tried on another node before"


def test_a_taint_that_a_task_does_not_tolerate_costs_no_attempt(
    fleet: FleetOfFive, namespace: str, tainted: str
) -> None:
    fleet.add_model(namespace)
    tolerations = [{"key": "rules.example/reserved", "operator": "Exists"}]

    fleet.apply(
        [
            fleet.task("plain", namespace),
            fleet.task(
                "tolerant",
                namespace,
                tolerations=tolerations,
                nodeSelector={"kubernetes.io/hostname": tainted},
            ),
        ]
    )
    statuses = fleet.finish(namespace)

    assert statuses["plain"]["node"] != tainted
    assert statuses["tolerant"]["node"] == tainted
    assert not any(status.get("incarnation") for status in statuses.values())


def test_tasks_too_large_for_every_node_give_a_reason_and_delay_no_other(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_model(namespace)
    fleet.wait_idle()
    resources = {"requests": {"cpu": "48"}, "limits": {"cpu": "48"}}

    fleet.apply(
        fleet.task(f"impossible-{number:02d}", namespace, resources=resources)
        for number in range(20)
    )
    fleet.apply(fleet.task(f"small-{number}", namespace) for number in range(6))
    small = fleet.finish(namespace, *(f"small-{number}" for number in range(6)))

    assert {small[f"small-{number}"]["phase"] for number in range(6)} == {"Succeeded"}
    tasks = fleet.tasks(namespace)
    impossible = [task["status"] for name, task in tasks.items() if name.startswith("impossible")]
    assert not any(status.get("incarnation") for status in impossible), "none held a slot"
    reason = "the task requests 48 of cpu, its node has 4"
    assert all(reason in status["message"] for status in impossible), json.dumps(impossible)
