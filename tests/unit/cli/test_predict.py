import json

import pytest
from rich.console import Console

from acesniper.cli.predict import _record, account
from acesniper.domain.prediction import Explanation, Prediction

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
