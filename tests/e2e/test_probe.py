"""A node measures itself and publishes the result with the probe's permissions."""

import json
import subprocess
import sys

from acesniper.testbed import make_node
from fleet_of_five import FleetOfFive


def test_a_probe_publishes_a_profile_that_is_used(fleet: FleetOfFive, namespace: str) -> None:
    fleet.add_model(namespace)
    plane = fleet.system.plane
    command = [sys.executable, "-m", "acesniper.cli", "probe", "--quick", "--publish"]
    fleet.apply([make_node("measured")])
    fleet.wait_for("node", "condition=Ready", namespace, "measured")

    kubeconfig = str(plane.kubeconfig("acesniper-probe"))
    subprocess.run(
        [*command, "--node", "measured", "--kubeconfig", kubeconfig],
        check=True,
        capture_output=True,
    )
    fleet.wait_for("deviceprofile", "condition=Ready", namespace, "measured-cpu")
    slot = r"jsonpath={.status.allocatable.acesniper\.io/slot}=1"
    fleet.wait_for("node", slot, namespace, "measured")
    here = {"kubernetes.io/hostname": "measured"}
    fleet.apply([fleet.task("first", namespace, nodeSelector=here)])
    fleet.wait_for("inferencetask", "jsonpath={.status.node}=measured", namespace, "first")

    profile = json.loads(plane.kubectl("get", "dprof", "measured-cpu", "-o", "json"))
    status = fleet.tasks(namespace)["first"]["status"]
    plane.kubectl("delete", "itask", "first", "-n", namespace)
    plane.kubectl("delete", "node", "measured")
    plane.kubectl("delete", "dprof", "measured-cpu")
    assert len(profile["status"]["readings"]) > 20
    assert {entry["type"] for entry in profile["status"]["conditions"]} >= {"Ready", "Noisy"}
    assert status["predicted"]["latencySeconds"] > 0
