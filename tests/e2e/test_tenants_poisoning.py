"""Forged latencies of one namespace on a real control plane: those of others do not change."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from acesniper.testbed.demo.examples import EmulatedDevice, model_profile_list
from fleet_of_five import FleetOfFive

MODEL = "mobilenet-v3-small"
TWIN = "twin"
"""The hostile namespace's name for the same model."""
FACTOR = 300.0
FORGED, SLOW = 20, 6


@pytest.fixture
def fastest(fleet: FleetOfFive) -> Iterator[EmulatedDevice]:
    """The device on which the model is fastest; all that it learned is reset afterwards."""
    device = min(fleet.devices, key=lambda device: device.latency_s[MODEL])
    fleet.forget(device)
    yield device
    fleet.forget(device)


@pytest.fixture
def hostile(fleet: FleetOfFive, namespace: str) -> Iterator[str]:
    """A namespace of which the tasks report wrong latencies."""
    name = f"hostile-{namespace}"[:63]
    fleet.system.plane.kubectl("create", "namespace", name)
    yield name
    fleet.system.plane.kubectl("delete", "namespace", name, "--wait=false")


def test_forged_latencies_of_a_namespace_change_nothing_for_another(
    fleet: FleetOfFive,
    namespace: str,
    hostile: str,
    fastest: EmulatedDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet.add_model(namespace)
    profile = str(fastest.profile["metadata"]["name"])
    before = run(fleet, namespace, "before")
    fleet.wait_until(lambda: before["podUid"] in observed(fleet, profile))
    learned = run(fleet, namespace, "learned")
    fleet.wait_until(lambda: learned["podUid"] in observed(fleet, profile))
    seconds = fastest.latency_s[MODEL]
    monkeypatch.setattr(
        fleet.emulator,
        "latencies",
        {**fleet.emulator.latencies, (fastest.node, TWIN): FACTOR * seconds},
    )
    sources = {TWIN: fleet.sources[MODEL]}
    fleet.apply(model_profile_list(sources, {}, hostile)["items"])
    fleet.wait_for("modelprofile", "condition=Profiled", hostile, "--all")

    fleet.apply(forged(fleet, hostile, fastest, number) for number in range(FORGED))
    fleet.apply(
        fleet.task(f"slow-{number}", hostile, model=TWIN, nodeSelector=host(fastest))
        for number in range(SLOW)
    )
    reported = fleet.finish(hostile)
    slow = [reported[f"slow-{number}"]["podUid"] for number in range(SLOW)]
    fleet.wait_until(lambda: slow[-1] in observed(fleet, profile))
    after = run(fleet, namespace, "after")

    seen = observed(fleet, profile)
    status = device(fleet, profile)["status"]
    drifting = next(one for one in status["conditions"] if one["type"] == "Drifting")
    namespaces = {entry["namespace"]: entry for entry in status["namespaces"]}
    assert before["node"] == learned["node"] == after["node"] == fastest.node
    assert after["predicted"]["latencySeconds"] == pytest.approx(seconds, rel=0.05)
    assert after["predicted"]["latencySeconds"] == pytest.approx(
        learned["predicted"]["latencySeconds"], rel=0.1
    )
    assert {before["podUid"], learned["podUid"]} <= seen, "honest runs are kept"
    assert not seen & {reported[f"forged-{number}"]["podUid"] for number in range(FORGED)}
    assert drifting["status"] == "False"
    assert namespaces[hostile]["drift"] == "Slower"
    assert "drift" not in namespaces[namespace]


def run(fleet: FleetOfFive, namespace: str, name: str) -> dict[str, Any]:
    """Run one task where the planner places it; return its status."""
    fleet.wait_idle()
    fleet.apply([fleet.task(name, namespace)])
    return fleet.finish(namespace, name)[name]


def forged(
    fleet: FleetOfFive, namespace: str, device: EmulatedDevice, number: int
) -> dict[str, Any]:
    """A task whose own container writes the report of a latency that is FACTOR times too long."""
    seconds = FACTOR * device.latency_s[MODEL]
    report = {"version": 1, "inferences": 1, "latency_median_s": seconds, "latency_p90_s": seconds}
    annotations = {
        "emulation.acesniper.io/finish-at": "2026-01-01T00:00:00.000000Z",  # at once
        "emulation.acesniper.io/message": json.dumps(report),
    }
    return fleet.task(
        f"forged-{number}",
        namespace,
        model=TWIN,
        nodeSelector=host(device),
        template={
            "metadata": {"annotations": annotations},
            "spec": {"containers": [{"name": "runner", "image": "registry.example/forger:1"}]},
        },
    )


def host(device: EmulatedDevice) -> dict[str, str]:
    """The node selector of a device."""
    return {"kubernetes.io/hostname": device.node}


def device(fleet: FleetOfFive, name: str) -> dict[str, Any]:
    """A DeviceProfile, as stored."""
    profiles = fleet.get("deviceprofiles", "")
    return next(profile for profile in profiles if profile["metadata"]["name"] == name)


def observed(fleet: FleetOfFive, name: str) -> set[str]:
    """The UIDs of the pods that a DeviceProfile holds as observations."""
    observations = device(fleet, name)["status"].get("observations") or []
    return {observation["task"] for observation in observations}
