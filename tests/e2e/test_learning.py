"""A device whose tasks take twice as long as its probe predicts, on a real control plane."""

import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from acesniper.testbed.demo.examples import EmulatedDevice
from fleet_of_five import FleetOfFive

ENOUGH = 6
"""Number of tasks within which predictions have to adapt."""


@pytest.fixture
def slowed(fleet: FleetOfFive, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedDevice]:
    """A device at half its speed, without a new measurement; reset afterwards."""
    device = next(device for device in fleet.devices if device.node == "ort-1t")
    slow = {
        key: 2 * seconds if key[0] == device.node else seconds
        for key, seconds in fleet.emulator.latencies.items()
    }
    monkeypatch.setattr(fleet.emulator, "latencies", slow)
    yield device
    monkeypatch.undo()
    fleet.forget(device)


def test_predictions_adapt_to_a_slower_device_and_it_is_probed_again(
    fleet: FleetOfFive, namespace: str, slowed: EmulatedDevice
) -> None:
    fleet.add_model(namespace)
    name = slowed.profile["metadata"]["name"]
    model = "mobilenet-v3-small"
    before = counted(fleet)
    really_s = 2 * slowed.latency_s[model]

    predicted_s = [one_task(fleet, namespace, slowed, number) for number in range(ENOUGH)]

    alone = device_profile(fleet, name)
    events = fleet.events("default", name)
    after = counted(fleet)
    assert abs(predicted_s[0] / really_s - 1) > 0.25, "the probe ran before the change"
    assert predicted_s[-1] == pytest.approx(really_s, rel=0.15)
    assert "it is probed again" in events["LatencyDriftUnconfirmed"]
    assert alone["spec"]["reprobe"].startswith("drift-")
    assert condition(alone, "Drifting") == "False", "only one namespace shows it"
    # The first latencies are outside the 90 % interval, the last ones inside.
    above, inside = (
        f"acesniper_prediction_intervals_total {outcome}" for outcome in ("above", "inside")
    )
    assert after[above] > before.get(above, 0)
    assert after[inside] > before.get(inside, 0)

    fleet.system.plane.kubectl("create", "namespace", f"{namespace}-2")
    fleet.add_model(f"{namespace}-2")
    elsewhere_s = [one_task(fleet, f"{namespace}-2", slowed, number) for number in range(3)]
    fleet.wait_until(lambda: condition(device_profile(fleet, name), "Drifting") == "True")

    drifts = counted(fleet)["acesniper_device_drifts_total"]
    requested = device_profile(fleet, name)["spec"]["reprobe"]
    fleet.system.plane.kubectl("delete", "namespace", f"{namespace}-2", "--wait=false")
    assert elsewhere_s[0] == pytest.approx(predicted_s[0], rel=1e-3), (
        "one namespace shifts no other"
    )
    assert drifts == before["acesniper_device_drifts_total"] + 1
    assert requested == alone["spec"]["reprobe"], "it is requested once"
    assert "it is probed again" in fleet.events("default", name)["LatencyDrift"]


def one_task(fleet: FleetOfFive, namespace: str, device: EmulatedDevice, number: int) -> float:
    """Run one task on a device until its profile has the observation; return the prediction."""
    name, profile = f"t{number}", device.profile["metadata"]["name"]
    here = {"kubernetes.io/hostname": device.node}
    fleet.apply([fleet.task(name, namespace, nodeSelector=here)])
    status = fleet.finish(namespace, name)[name]

    def observed() -> bool:
        seen = device_profile(fleet, profile)["status"].get("observations") or []
        return status["podUid"] in {observation["task"] for observation in seen}

    fleet.wait_until(observed)
    return float(status["predicted"]["latencySeconds"])


def device_profile(fleet: FleetOfFive, name: str) -> dict[str, Any]:
    """A DeviceProfile, as stored."""
    (profile,) = (
        candidate
        for candidate in fleet.get("deviceprofiles", "")
        if candidate["metadata"]["name"] == name
    )
    return profile


def condition(profile: dict[str, Any], kind: str) -> str:
    """The status of a condition."""
    return next(
        str(entry["status"]) for entry in profile["status"]["conditions"] if entry["type"] == kind
    )


def counted(fleet: FleetOfFive) -> dict[str, float]:
    """The operator's counters by name, intervals also by outcome."""
    url = f"http://127.0.0.1:{fleet.system.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return {
        " ".join(filter(None, (sample.name, sample.labels.get("outcome")))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
