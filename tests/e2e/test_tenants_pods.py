"""Pods that a tenant writes reserve no device and are not deleted."""

import json
from collections.abc import Sequence

from acesniper.testbed.demo.examples import EmulatedDevice
from acesniper.testbed.deployment import EXTENDER
from fleet_of_five import FleetOfFive

GHOSTS = 50
HONEST = 10
FORGED_S = 1e11


def forged_annotations(device: EmulatedDevice) -> dict[str, str]:
    """A decision for a device that takes a thousand years, with a signature of the right length."""
    terms = ("latency", "low", "high", "backlog", "coldStart", "transfer", "run", "finish")
    candidate = {
        "device": device.node,
        "node": device.node,
        "source": "pcn",
        "inferences": 1,
        **{f"{term}Seconds": FORGED_S for term in terms},
    }
    decision = {"decidedAt": 0, "policy": "fcfs-advantage", "candidates": [candidate]}
    return {
        "acesniper.io/device": device.node,
        "acesniper.io/decision": json.dumps(decision),
        "acesniper.io/decision-signature": "ab" * 32,
    }


def ghosts(
    namespace: str, task: dict[str, object], devices: Sequence[EmulatedDevice]
) -> list[dict[str, object]]:
    """Pods with the appearance of a task's: its labels and owner, half of them gated."""
    metadata = task["metadata"]
    assert isinstance(metadata, dict)
    owner = {
        "apiVersion": "acesniper.io/v1alpha1",
        "kind": "InferenceTask",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }
    pods: list[dict[str, object]] = []
    for number in range(GHOSTS):
        slot = {"limits": {"acesniper.io/slot": "1"}}
        spec: dict[str, object] = {
            "schedulerName": "unknown" if number % 3 else "ace-sniper",
            # No node of this name: they stay unbound.
            "nodeSelector": {"kubernetes.io/hostname": "absent"},
            "containers": [{"name": "runner", "image": "example", "resources": slot}],
        }
        if number % 2:
            spec["schedulingGates"] = [{"name": "acesniper.io/plan"}]
        pods.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"ghost-{number:02d}",
                    "namespace": namespace,
                    "labels": {
                        "acesniper.io/task": metadata["name"],
                        "acesniper.io/model": "mobilenet-v3-small",
                        "acesniper.io/attempt": "0",
                    },
                    "annotations": forged_annotations(devices[number % len(devices)]),
                    "ownerReferences": [owner],
                },
                "spec": spec,
            }
        )
    return pods


def test_fifty_ghost_pods_delay_no_task_and_are_not_deleted(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_model(namespace)
    fleet.wait_idle()
    fleet.apply([fleet.task("cover", namespace, suspend=True)])
    cover = fleet.tasks(namespace)["cover"]
    fleet.apply(ghosts(namespace, cover, fleet.devices))
    written = {pod["metadata"]["uid"] for pod in fleet.get("pods", namespace)}

    names = [f"honest-{number}" for number in range(HONEST)]
    fleet.apply(fleet.task(name, namespace, inferences=fleet.inferences(0.2)) for name in names)
    statuses = fleet.finish(namespace, *names)
    # Without a reservation, none expires, and no pod is withdrawn.
    fleet.wait_until(lambda: not any(fleet.backlogs().values()))

    kept = {pod["metadata"]["uid"] for pod in fleet.get("pods", namespace)}
    assert {statuses[name]["phase"] for name in names} == {"Succeeded"}
    assert len(written) == GHOSTS
    assert written <= kept


def test_a_decision_that_a_tenant_rewrites_moves_no_backlog(
    fleet: FleetOfFive, namespace: str
) -> None:
    """Neither while the extender runs nor after its restart; the pod goes on."""
    fleet.add_model(namespace)
    fleet.wait_idle()
    fleet.apply([fleet.task("long", namespace, inferences=fleet.inferences(1800.0))])
    fleet.wait_until(lambda: len(fleet.runs(namespace)) == 1)
    (run,) = fleet.runs(namespace)
    before = fleet.backlogs()
    elsewhere = next(device for device in fleet.devices if device.node != run.node)
    patch = json.dumps({"metadata": {"annotations": forged_annotations(elsewhere)}})
    plane = fleet.system.plane

    plane.kubectl("patch", "pod", run.pod, "-n", namespace, "--type=merge", "-p", patch)
    fleet.apply([fleet.task("after", namespace, inferences=1)])
    fleet.finish(namespace, "after")
    live = fleet.backlogs()
    fleet.system.kill(EXTENDER)
    fleet.system.restart(EXTENDER)
    restarted = fleet.backlogs()

    plane.kubectl("delete", "itask", "-n", namespace, "--all")
    for backlogs in (live, restarted):
        assert {name for name, seconds in backlogs.items() if seconds} == {run.node}
        assert backlogs[run.node] <= before[run.node]
