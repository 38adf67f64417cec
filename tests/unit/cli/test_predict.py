import json
from math import log
from pathlib import Path

import pytest
from rich.console import Console

from acesniper.cli.connection import Connection
from acesniper.cli.predict import _predicted, _record, account
from acesniper.cli.prediction_inputs import Subject, devices, model
from acesniper.domain.prediction import Explanation, Prediction
from acesniper.predictor.analytical import PhysicsPredictor
from small_models import linear_model, save

EXAMPLES = Path(__file__).parents[3] / "examples/devices"
FOUND = Explanation(
    Prediction(0.022, 0.02, 0.03, "pcn-1"),
    {"conv_wide": 0.015, "gemv": 0.005},
    similarity=0.2,
    residual=-0.1,
    gate=0.5,
    observed=0.045,
    model_explained=0.9,
    device_explained=0.4,
    similar={"resnet18": 0.8, "vgg11": 0.3},
)


def test_the_account_says_where_the_time_goes_and_what_was_corrected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Console(width=120).print(account("edge-1", FOUND))

    text = capsys.readouterr().out
    assert "On edge-1" in text
    assert "conv_wide 75%, gemv 25%" in text
    assert "similarity +22%, residual -10%, of which 50% count" in text
    assert "+5% from what ran on the device itself" in text
    assert "resnet18 0.80, vgg11 0.30; distance from known 0.20" in text


def test_the_record_is_the_same_account_for_programs() -> None:
    found = json.loads(json.dumps(_record("edge-1", FOUND)))

    assert found["physics_s"] == pytest.approx(0.02)
    assert found["correction"]["gate"] == 0.5
    assert found["explained"] == {"model": 0.9, "device": 0.4}
    assert found["similar"]["resnet18"] == 0.8
    assert _record("edge-2", None) == {"device": "edge-2", "latency_s": None}


@pytest.mark.parametrize("explained", [False, True])
def test_intervals_are_as_wide_as_the_device_needs_them(explained: bool, tmp_path: Path) -> None:
    features = model(str(save(linear_model(), tmp_path / "m.onnx")), 1, {}, None, Connection())
    (known,) = devices([str(EXAMPLES / "ort-1t.yaml")], Connection()).values()
    found = {"usual": known, "wide": Subject(known.vector, interval_factor=2.0)}

    rows = _predicted(PhysicsPredictor(), features, found, explained=explained)

    made = {name: each.prediction for name, each in rows if each is not None}
    usual, wide = made["usual"], made["wide"]
    assert wide.latency_s == usual.latency_s
    for end in ("low_s", "high_s"):
        reach = [log(getattr(each, end) / each.latency_s) for each in (usual, wide)]
        assert reach[1] == pytest.approx(2.0 * reach[0])
