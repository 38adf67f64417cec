import json
from math import log
from pathlib import Path

import pytest
from rich.console import Console

from acesniper.cli.connection import Connection
from acesniper.cli.predict import _predictions, _record, explanation_table
from acesniper.cli.prediction_inputs import PredictionDevice, load_devices, load_model
from acesniper.domain.prediction import Explanation, Prediction
from acesniper.predictor.analytical import PhysicsPredictor
from small_models import linear_model, save

EXAMPLES = Path(__file__).parents[3] / "examples/devices"
EXPLANATION = Explanation(
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


def test_the_explanation_lists_the_terms_of_a_prediction(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Console(width=120).print(explanation_table("edge-1", EXPLANATION))

    text = capsys.readouterr().out
    assert "On edge-1" in text
    assert "conv_wide 75%, gemv 25%" in text
    assert "similarity +22%, residual -10%, weighted by 50%" in text
    assert "+5% from tasks on this device" in text
    assert "resnet18 0.80, vgg11 0.30; distance from known models 0.20" in text


def test_the_json_record_has_the_same_terms() -> None:
    record = json.loads(json.dumps(_record("edge-1", EXPLANATION)))

    assert record["physics_s"] == pytest.approx(0.02)
    assert record["correction"]["gate"] == 0.5
    assert record["explained"] == {"model": 0.9, "device": 0.4}
    assert record["similar"]["resnet18"] == 0.8
    assert _record("edge-2", None) == {"device": "edge-2", "latency_s": None}


@pytest.mark.parametrize("explain", [False, True])
def test_intervals_are_widened_by_the_factor_of_the_device(explain: bool, tmp_path: Path) -> None:
    features = load_model(str(save(linear_model(), tmp_path / "m.onnx")), 1, {}, None, Connection())
    (device,) = load_devices([str(EXAMPLES / "ort-1t.yaml")], Connection()).values()
    devices = {"usual": device, "wide": PredictionDevice(device.vector, interval_factor=2.0)}

    rows = _predictions(PhysicsPredictor(), features, devices, explain=explain)

    predictions = {name: row.prediction for name, row in rows if row is not None}
    usual, wide = predictions["usual"], predictions["wide"]
    assert wide.latency_s == usual.latency_s
    for limit in ("low_s", "high_s"):
        widths = [log(getattr(one, limit) / one.latency_s) for one in (usual, wide)]
        assert widths[1] == pytest.approx(2.0 * widths[0])
