"""The page of a real extender on a real control plane."""

import json
import urllib.request
from typing import Any

import pytest

from acesniper.testbed.errors import CommandFailed
from fleet_of_five import FleetOfFive


def ask(fleet: FleetOfFive, path: str) -> Any:  # noqa: ANN401 - any JSON
    url = f"http://127.0.0.1:{fleet.system.page_port}/api/{path}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def test_the_page_agrees_with_the_task_status_and_the_fleet(
    fleet: FleetOfFive, namespace: str
) -> None:
    fleet.add_models(namespace)
    fleet.wait_idle()
    fleet.apply([fleet.task("shown", namespace, inferences=fleet.inferences(0.3))])
    status = fleet.finish(namespace, "shown")["shown"]

    why = ask(fleet, f"tasks/{namespace}/shown")
    devices = ask(fleet, "fleet?search=&limit=200")["devices"]
    heat = ask(fleet, "latency?height=100&width=200")
    points = ask(fleet, "accuracy")["points"]

    assert why["decision"]["candidates"] == status["decision"]["candidates"]
    assert why["observed"] == status["observed"]
    nodes = {device.node for device in fleet.devices}
    assert nodes <= {device["node"] for device in devices}
    assert {f"{namespace}/{model}" for model in fleet.sources} <= {
        row["first"] for row in heat["rows"]
    }
    (seen,) = (point for point in points if point[0] == f"{namespace}/shown")
    assert abs(seen[6] - status["observed"]["latencyMedianSeconds"]) <= 1e-3 * seen[6]


def test_the_page_is_not_on_the_port_of_the_scheduler(fleet: FleetOfFive) -> None:
    with pytest.raises(CommandFailed, match="404"):
        fleet.system.ask("/api/fleet")
