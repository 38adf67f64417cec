from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acesniper.api.decision import Decision
from acesniper.api.objects import NodeView, PodView
from acesniper.api.v1alpha1 import DeviceProfile
from acesniper.cli.top import busy_s, health, rows, shown, speeds
from acesniper.domain.prediction import FinishEstimate
from builders import make_device, make_pod, make_prediction, make_task

READY = NodeView(True, {})


def profile(name: str, seconds: float | None = 1.0, *troubles: str) -> DeviceProfile:
    status: dict[str, Any] = {"measuredAt": "2026-01-01T00:00:00Z"}
    if seconds is not None:
        status["readings"] = {
            probe: {"seconds": seconds * size, "spread": 0.01}
            for probe, size in (("conv", 1.0), ("copy", 7.0))
        }
    status["conditions"] = [
        {
            "type": each,
            "status": "True",
            "reason": "R",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for each in troubles
    ]
    manifest = {"metadata": {"name": name}, "spec": {"node": f"node-{name}"}, "status": status}
    return DeviceProfile.model_validate(manifest)


def placed(device: str, finish_s: float, at_s: float) -> PodView:
    chosen = FinishEstimate(make_device(device), make_prediction(finish_s), 1)
    decision = Decision.of(make_task().key, [chosen], at_s, "fcfs-mct", {})
    return PodView.of(make_pod(device=device, node=f"node-{device}", decision=decision))


def test_speed_is_over_the_median_device_whatever_the_readings_are_of() -> None:
    found = speeds([profile("slow", 2.0), profile("usual", 1.0), profile("fast", 0.25)])

    assert found == pytest.approx({"slow": 0.5, "usual": 1.0, "fast": 4.0})


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=9), st.floats(1e-3, 1e3))
def test_speeds_do_not_depend_on_the_unit_of_time(taken: list[float], unit: float) -> None:
    fleet = [profile(f"d{number}", seconds) for number, seconds in enumerate(taken)]
    scaled = [profile(f"d{number}", seconds * unit) for number, seconds in enumerate(taken)]

    assert speeds(fleet) == pytest.approx(speeds(scaled))


def test_the_fastest_comes_first_and_one_without_a_measurement_last() -> None:
    profiles = [profile("new", None), profile("slow", 2.0), profile("fast", 0.5)]
    nodes = {f"node-{name}": READY for name in ("new", "slow", "fast")}

    found = rows(profiles, nodes, [], 1767225700.0)

    assert [each.name for each in found] == ["fast", "slow", "new"]
    assert [each.health for each in found] == [(), (), ("NotMeasured",)]
    assert found[0].profile_age_s == 100.0


def test_a_device_is_busy_until_what_was_placed_there_should_be_finished() -> None:
    pod = placed("d", finish_s=30.0, at_s=1000.0)

    assert busy_s(pod, 1010.0) == pytest.approx(20.0)
    assert busy_s(pod, 1100.0) == 0.0


def test_what_is_the_matter_with_a_device_is_named() -> None:
    assert health(profile("d", 1.0, "Noisy", "Stale"), READY) == ("Stale", "Noisy")
    assert health(profile("d"), None) == ("NoNode",)
    assert health(profile("d"), NodeView(False, {})) == ("NodeNotReady",)


def test_without_devices_it_says_what_to_do() -> None:
    assert "acesniper doctor" in str(shown([], wide=False))
