from dataclasses import replace

import numpy as np
import pytest

from acesniper.api import convert
from acesniper.api.objects import Json
from acesniper.domain.errors import InvalidInput
from acesniper.domain.latency_history import ObservedRun
from acesniper.domain.task import ModelKey
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.pcn.fleet_runs import FleetRuns
from builders import make_device_profile, make_model_profile
from small_atlas import SUITE, make_vector
from small_fleets import small_fleet

MODEL = ModelKey("default/model")


def device(name: str, *runs: ObservedRun, suite_version: str = SUITE.version) -> Json:
    """A DeviceProfile that was probed by the known suite and remembers some runs."""
    profile = make_device_profile(name)
    readings = make_vector().readings
    profile["status"] |= {
        "suite": SUITE.name,
        "suiteVersion": suite_version,
        "readings": {
            key: {"seconds": reading.seconds, "spread": 0.0} for key, reading in readings.items()
        },
        "observations": [
            observation.model_dump(by_alias=True)
            for observation in convert.to_observations(list(runs))
        ],
    }
    return profile


def run(
    task: str, model: ModelKey = MODEL, latency_s: float = 1.0, at_s: float = 1.0
) -> ObservedRun:
    return ObservedRun(task, model, latency_s, latency_s, 1.0, at_s)


def test_a_fleet_has_the_devices_with_runs_of_known_models() -> None:
    gone = ModelKey("default/gone")
    objects = [
        device("a", run("1"), run("2", gone)),
        device("idle"),
        device("only-gone", run("3", gone)),
        device("other-suite", run("4"), suite_version="0"),
        make_device_profile("never-probed", pace=None),
        make_model_profile(version=FEATURES_VERSION),
        make_model_profile("stale", version="0"),
        {"kind": "Pod", "metadata": {"name": "p"}},
    ]

    fleet = FleetRuns.of(objects, SUITE)

    assert [device.name for device in fleet.devices] == ["a"]
    assert [run.task for run in fleet.devices[0].runs] == ["1"]
    assert list(fleet.models) == [MODEL]
    assert fleet.runs == 1


def test_devices_and_models_with_the_most_runs_are_kept() -> None:
    rare = ModelKey("default/rare")
    objects = [
        device("once", run("1")),
        device("often", run("2"), run("3"), run("4", rare)),
        make_model_profile(version=FEATURES_VERSION),
        make_model_profile("rare", version=FEATURES_VERSION),
    ]

    fleet = FleetRuns.of(objects, SUITE, max_devices=1, max_models=1)

    assert [device.name for device in fleet.devices] == ["often"]
    assert [run.task for run in fleet.devices[0].runs] == ["2", "3"]
    assert list(fleet.models) == [MODEL]


def test_the_error_names_an_invalid_profile() -> None:
    broken = {**make_device_profile("broken"), "spec": {"node": 7}}

    with pytest.raises(InvalidInput, match="broken"):
        FleetRuns.of([broken], SUITE)


def test_the_latest_runs_are_held_out() -> None:
    fleet = small_fleet()

    before, recent = fleet.split(0.3)

    latest = max(run.at_s for device in before.devices for run in device.runs)
    assert latest < min(run.at_s for device in recent.devices for run in device.runs)
    assert (before.runs, recent.runs) == (60, 27)
    assert before.models == recent.models == fleet.models


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_the_first_runs_of_a_fleet_are_held_out(runs: int) -> None:
    fleet = small_fleet()
    seen = fleet.devices[0]

    before, recent = replace(fleet, devices=[replace(seen, runs=seen.runs[:runs])]).split(0.3)

    assert (before.runs, recent.runs) == (runs - min(runs, 1), min(runs, 1))


def test_an_unconfirmed_outlier_is_not_trained_on() -> None:
    fleet = small_fleet(noise=0.0)
    seen = fleet.devices[0]
    odd = replace(seen.runs[-1], latency_s=9 * seen.runs[-1].latency_s)
    changed = replace(fleet, devices=[replace(seen, runs=[*seen.runs[:-1], odd])])

    whole, without = fleet.latencies()[:, 0], changed.latencies()[:, 0]

    assert np.isfinite(whole).sum() == 12
    assert np.isfinite(without).sum() == 11
