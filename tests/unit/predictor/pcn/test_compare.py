from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from acesniper.predictor.pcn.compare import (
    MIN_RECENT_RUNS,
    NetworkComparison,
    compare_networks,
    retrain,
)
from acesniper.predictor.pcn.conformal import Calibration
from acesniper.predictor.pcn.export import export
from acesniper.predictor.pcn.fleet_runs import FleetRuns
from acesniper.predictor.pcn.network_file import NetworkFile
from acesniper.predictor.pcn.serve import PcnPredictor
from acesniper.predictor.pcn.train import TrainingSettings, fit
from small_atlas import SUITE
from small_fleets import atlas_with, small_fleet

NOTHING = FleetRuns((), {})


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that knows nothing of any fleet, with widths of its own."""
    file = tmp_path_factory.mktemp("baseline") / "pcn.onnx"
    data = atlas_with(NOTHING)
    export(fit(data, TrainingSettings(steps=40)), data, file, SUITE, Calibration("its own"), {})
    return file


def retrained(fleet: FleetRuns, baseline: Path, target: Path, steps: int = 60) -> NetworkComparison:
    settings = TrainingSettings(steps=steps)
    return retrain(atlas_with, fleet, baseline, target, SUITE, {"seed": 0}, settings)


def test_a_better_network_replaces_the_current_one(baseline: Path, tmp_path: Path) -> None:
    target = tmp_path / "pcn.onnx"

    verdict = retrained(small_fleet(), baseline, target)

    assert verdict.old is not None
    assert verdict.new is not None
    assert verdict.better, verdict
    assert verdict.new.mean_log_error < verdict.old.mean_log_error
    written = NetworkFile.load(target, SUITE)
    assert written.calibration.version == "its own"
    assert written.provenance["observed"] == {"devices": 8, "runs": 60}


def test_a_worse_network_is_not_written(baseline: Path, tmp_path: Path) -> None:
    target = tmp_path / "pcn.onnx"
    target.write_text("what served before")

    verdict = retrained(small_fleet(slower=0.0), baseline, target, steps=2)

    assert verdict.verdict == "not better"
    assert target.read_text() == "what served before"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_too_few_runs_train_no_network(baseline: Path, tmp_path: Path) -> None:
    def no_atlas(fleet: FleetRuns) -> NoReturn:
        raise AssertionError("nothing is to be trained")

    fleet = replace(small_fleet(), devices=small_fleet().devices[:2])
    verdict = retrain(no_atlas, fleet, baseline, tmp_path / "pcn.onnx", SUITE, {})

    assert verdict.verdict == "too little"
    assert verdict.held_out < MIN_RECENT_RUNS


def test_a_network_is_not_better_than_itself(baseline: Path) -> None:
    itself = PcnPredictor.load(baseline, SUITE)
    before, recent = small_fleet().split(0.4)

    verdict = compare_networks(itself, itself, before, recent)

    assert verdict.verdict == "not better"
    assert verdict.old == verdict.new
