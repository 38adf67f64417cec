"""A device whose tasks take twice what its probe lets expect, on a real control plane."""

import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from acesniper.testbed.demo.examples import EmulatedDevice
from fleet_of_five import FleetOfFive

ENOUGH = 6
"""Tasks within which a device has to be learned."""


@pytest.fixture
def slowed(fleet: FleetOfFive, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedDevice]:
    """One device that silently became half as fast; afterwards it is as it was, and measured so."""
    device = next(each for each in fleet.devices if each.node == "ort-1t")
    slow = {
        key: 2 * seconds if key[0] == device.node else seconds
        for key, seconds in fleet.emulator.latencies.items()
    }
    monkeypatch.setattr(fleet.emulator, "latencies", slow)
    yield device
    monkeypatch.undo()
    fleet.forget(device)


def test_a_device_that_became_half_as_fast_is_learned_and_probed_again(
    fleet: FleetOfFive, namespace: str, slowed: EmulatedDevice
) -> None:
    fleet.add_models(namespace)
    name = slowed.profile["metadata"]["name"]
    model = "mobilenet-v3-small"
    before = counted(fleet)
    really_s = 2 * slowed.latency_s[model]

    predicted_s = [one_task(fleet, namespace, slowed, number) for number in range(ENOUGH)]

    profile = device_profile(fleet, name)
    told = fleet.events("default", name)
    after = counted(fleet)
    assert abs(predicted_s[0] / really_s - 1) > 0.25, "its probe knows nothing of it"
    assert predicted_s[-1] == pytest.approx(really_s, rel=0.15)
    assert "it is probed again" in told["LatencyDrift"]
    assert profile["spec"]["reprobe"].startswith("drift-")
    assert condition(profile, "Drifting") == "True"
    assert after["acesniper_device_drifts_total"] == before["acesniper_device_drifts_total"] + 1
    # Where tasks ended in their 90 % interval: the first are not, the last are.
    above, inside = (f"acesniper_prediction_intervals_total {each}" for each in ("above", "inside"))
    assert after[above] > before.get(above, 0)
    assert after[inside] > before.get(inside, 0)


def one_task(fleet: FleetOfFive, namespace: str, device: EmulatedDevice, number: int) -> float:
    """Run one task on a device until its profile has learned from it; what was predicted."""
    name, profile = f"t{number}", device.profile["metadata"]["name"]
    here = {"kubernetes.io/hostname": device.node}
    fleet.apply([fleet.task(name, namespace, nodeSelector=here)])
    status = fleet.finish(namespace, name)[name]

    def learned() -> bool:
        seen = device_profile(fleet, profile)["status"].get("observations") or []
        return status["podUid"] in {each["task"] for each in seen}

    fleet.wait_until(learned)
    return float(status["predicted"]["latencySeconds"])


def device_profile(fleet: FleetOfFive, name: str) -> dict[str, Any]:
    """A DeviceProfile as the API server has it."""
    (found,) = (
        each for each in fleet.get("deviceprofiles", "") if each["metadata"]["name"] == name
    )
    return found


def condition(profile: dict[str, Any], kind: str) -> str:
    """The status of a condition."""
    return next(
        str(each["status"]) for each in profile["status"]["conditions"] if each["type"] == kind
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
