"""The command `acesniper` against an installed chart."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from acesniper.cli.connection import Connection
from acesniper.cli.doctor.activity_checks import WATCH_AGE_METRIC, WATCH_STALLED_S, samples
from acesniper.cli.extender_client import fetch_metrics
from installed import FreshFleet, Installed

FAR = ("198.51.100.1", 9)
"""An address reserved for documentation: nothing is sent, only a route is looked up."""


@pytest.fixture
def ours(installed: FreshFleet, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace with the models, on an idle fleet."""
    plane = installed.system.plane
    name = request.node.name.replace("_", "-")[:50].rstrip("-")
    plane.kubectl("create", "namespace", name)
    installed.add_model(name)
    installed.wait_idle()
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")


def output_of(fleet: FreshFleet, command: str) -> str:
    assert isinstance(fleet.system, Installed)
    done = fleet.system.shell(command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def json_of(fleet: FreshFleet, command: str) -> Any:  # noqa: ANN401 - any JSON
    return json.loads(output_of(fleet, f"{command} --json"))


def test_top_shows_the_speed_and_the_running_tasks_of_devices(
    installed: FreshFleet, ours: str
) -> None:
    installed.apply([installed.task("long", ours, inferences=installed.inferences(20.0))])
    installed.wait_until(lambda: bool(installed.runs(ours)))

    devices = json_of(installed, "acesniper top")
    table = output_of(installed, "acesniper top -o wide")

    (busy,) = [device for device in devices if device["running"]]
    assert len(devices) == len(installed.devices)
    assert busy["running"] == [f"{ours}/long"]
    assert 0 < busy["busy_s"] < 120
    assert all(device["healthy"] for device in devices)
    assert [device["speed"] for device in devices] == sorted(
        (device["speed"] for device in devices), reverse=True
    )
    assert f"{ours}/long" in table


def test_predict_returns_the_latencies_that_the_planner_uses(
    installed: FreshFleet, ours: str
) -> None:
    asked = json_of(installed, f"acesniper predict mobilenet-v3-small -n {ours} --all-devices")
    installed.apply([installed.task("asked", ours, inferences=5)])
    installed.finish(ours, "asked")
    why = json_of(installed, f"acesniper explain asked -n {ours}")

    latency_s = {device["device"]: device["latency_s"] for device in asked["devices"]}
    assert len(latency_s) == len(installed.devices)
    for candidate in why["decision"]["candidates"]:
        assert candidate["latencySeconds"] == pytest.approx(
            latency_s[candidate["device"]], rel=0.01
        )


def test_the_plan_contains_the_pending_tasks(installed: FreshFleet, ours: str) -> None:
    count = 2 * len(installed.devices)
    work = installed.inferences(8.0)
    names = [f"t{number}" for number in range(count)]
    installed.apply([installed.task(name, ours, inferences=work) for name in names])
    installed.wait_until(lambda: len(installed.runs(ours)) >= len(installed.devices))
    plan = f"acesniper plan --extender http://127.0.0.1:{installed.system.extender_port}"

    planned = json_of(installed, plan)
    installed.system.plane.kubectl("delete", "inferencetask", "--all", "-n", ours)
    installed.wait_until(lambda: output_of(installed, plan) == "No tasks are pending.\n")

    assert planned
    assert {entry["device"] for entry in planned} <= {device.node for device in installed.devices}
    assert {entry["task"] for entry in planned} <= {f"{ours}/{name}" for name in names}


async def test_the_doctor_reads_watch_ages_through_the_api_server(
    installed: FreshFleet, ours: str
) -> None:
    with_port(installed, ours, installed.system.extender_port)

    async with Connection(installed.system.plane.kubeconfig()).open() as cluster:
        text = await fetch_metrics(cluster)

    ages = dict(samples(text, WATCH_AGE_METRIC))
    assert {"pods", "nodes", "deviceprofiles"} <= ages.keys()
    assert all(age_s < WATCH_STALLED_S for age_s in ages.values())


def with_port(fleet: FreshFleet, namespace: str, port: int) -> None:
    """A pod with the extender's labels, at an address of this machine."""
    labels = {"app.kubernetes.io/name": "acesniper", "app.kubernetes.io/component": "scheduler"}
    container = {
        "name": "extender",
        "image": "x",
        "ports": [{"name": "metrics", "containerPort": port}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "extender", "namespace": namespace, "labels": labels},
        "spec": {"nodeName": fleet.devices[0].node, "containers": [container]},
    }
    plane, place = fleet.system.plane, ("pod", "extender", "-n", namespace)
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    plane.kubectl("wait", "--for=condition=Ready", "--timeout=30s", *place)
    address = own_address()
    status = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
    plane.kubectl("patch", *place, "--subresource=status", "-p", json.dumps(status))


def own_address() -> str:
    """An address of this machine other than loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(FAR)
        except OSError as error:
            pytest.skip(f"this machine has no address but loopback: {error}")
        return str(probe.getsockname()[0])


def test_errors_name_the_missing_permission_and_the_unknown_context(
    installed: FreshFleet,
) -> None:
    assert isinstance(installed.system, Installed)
    no_rights = installed.system.plane.kubeconfig("no-rights")

    forbidden = installed.system.shell(f"acesniper top --kubeconfig {no_rights}")
    elsewhere = installed.system.shell("acesniper top --context elsewhere")

    assert forbidden.returncode == 1
    assert "deviceprofiles" in forbidden.stderr
    assert "lacks the permission: request it" in forbidden.stderr
    assert elsewhere.returncode == 2
    assert "elsewhere" in elsewhere.stderr


def test_kubectl_finds_the_command_as_its_plugin(installed: FreshFleet) -> None:
    assert isinstance(installed.system, Installed)

    plugin = installed.system.shell("kubectl acesniper top --help")

    assert plugin.returncode == 0, plugin.stderr
    assert "kubectl acesniper top" in plugin.stdout
