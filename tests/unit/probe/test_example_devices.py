import csv
import json

import numpy as np
import pytest

from acesniper.predictor.factory import default_predictor
from acesniper.predictor.onnx.sandbox import read_model
from acesniper.probe.profiles import read_profile
from small_models import DEVICES, MODELS

TABLE = DEVICES / "latencies.csv"


@pytest.fixture(scope="module")
def ratios() -> np.ndarray:
    """Predicted over measured latency of every example model on every example device."""
    index = json.loads((MODELS / "index.json").read_text())
    models = {n: read_model(MODELS / e["file"], shapes=e["shapes"]) for n, e in index.items()}
    devices = {path.stem: read_profile(path).vector for path in sorted(DEVICES.glob("*.yaml"))}
    predicted = default_predictor().table(list(models.values()), list(devices.values())).latency
    measured = np.full(predicted.shape, np.nan)
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            cell = list(models).index(row["model"]), list(devices).index(row["device"])
            measured[cell] = float(row["latency_ms"]) / 1e3
    readings: np.ndarray = predicted / measured
    return readings


def test_every_model_was_measured_on_every_device(ratios: np.ndarray) -> None:
    assert ratios.shape[1] >= 12
    assert not np.isnan(ratios).any()


def test_the_baseline_is_right_to_a_third_for_half_of_all_pairs(ratios: np.ndarray) -> None:
    assert np.median(np.abs(ratios - 1)) < 1 / 3


def test_the_stated_interval_holds_most_latencies(ratios: np.ndarray) -> None:
    inside = np.abs(np.log(ratios)) < 1.645 * 0.40

    assert inside.mean() > 0.8
