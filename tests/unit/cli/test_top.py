from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acesniper.api.decision import Decision
from acesniper.api.objects import NodeView, PodView
from acesniper.api.v1alpha1 import DeviceProfile
from acesniper.cli.top import (
    device_rows,
    device_table,
    health_problems,
    relative_speeds,
    remaining_s,
)
from acesniper.domain.prediction import FinishEstimate
from builders import make_device, make_pod, make_prediction, make_task

READY = NodeView(True, {})


def profile(name: str, seconds: float | None = 1.0, *conditions: str) -> DeviceProfile:
    status: dict[str, Any] = {"measuredAt": "2026-01-01T00:00:00Z"}
    if seconds is not None:
        status["readings"] = {
            probe: {"seconds": seconds * size, "spread": 0.01}
            for probe, size in (("conv", 1.0), ("copy", 7.0))
        }
    status["conditions"] = [
        {
            "type": condition,
            "status": "True",
            "reason": "R",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for condition in conditions
    ]
    manifest = {"metadata": {"name": name}, "spec": {"node": f"node-{name}"}, "status": status}
    return DeviceProfile.model_validate(manifest)


def placed(device: str, finish_s: float, at_s: float) -> PodView:
    chosen = FinishEstimate(make_device(device), make_prediction(finish_s), 1)
    decision = Decision.of(make_task().key, [chosen], at_s, "fcfs-mct", {})
    return PodView.of(make_pod(device=device, node=f"node-{device}", decision=decision))


def test_speed_is_relative_to_the_median_device() -> None:
    speeds = relative_speeds([profile("slow", 2.0), profile("usual", 1.0), profile("fast", 0.25)])

    assert speeds == pytest.approx({"slow": 0.5, "usual": 1.0, "fast": 4.0})


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=9), st.floats(1e-3, 1e3))
def test_speeds_do_not_depend_on_the_unit_of_time(durations: list[float], unit: float) -> None:
    fleet = [profile(f"d{number}", seconds) for number, seconds in enumerate(durations)]
    scaled = [profile(f"d{number}", seconds * unit) for number, seconds in enumerate(durations)]

    assert relative_speeds(fleet) == pytest.approx(relative_speeds(scaled))


def test_rows_go_from_the_fastest_to_unmeasured_devices() -> None:
    profiles = [profile("new", None), profile("slow", 2.0), profile("fast", 0.5)]
    nodes = {f"node-{name}": READY for name in ("new", "slow", "fast")}

    rows = device_rows(profiles, nodes, [], 1767225700.0)

    assert [row.name for row in rows] == ["fast", "slow", "new"]
    assert [row.health for row in rows] == [(), (), ("NotMeasured",)]
    assert rows[0].profile_age_s == 100.0


def test_a_device_is_busy_until_the_predicted_finish_of_its_tasks() -> None:
    pod = placed("d", finish_s=30.0, at_s=1000.0)

    assert remaining_s(pod, 1010.0) == pytest.approx(20.0)
    assert remaining_s(pod, 1100.0) == 0.0


def test_health_problems_are_named() -> None:
    assert health_problems(profile("d", 1.0, "Noisy", "Stale"), READY) == ("Stale", "Noisy")
    assert health_problems(profile("d"), None) == ("NoNode",)
    assert health_problems(profile("d"), NodeView(False, {})) == ("NodeNotReady",)


def test_an_empty_table_is_replaced_by_a_hint() -> None:
    assert "acesniper doctor" in str(device_table([], wide=False))
