from pathlib import Path

import numpy as np
import pytest

from acesniper.domain.device import HardwareVector, Reading
from acesniper.domain.errors import InvalidInput
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Prediction
from acesniper.extender.__main__ import predictor_of
from acesniper.predictor.csv import SUITE, CsvPredictor
from acesniper.runtime.settings import ExtenderSettings

ROWS = "device,model,latency_s,low_s,high_s\nedge-1,tiny,0.2,0.1,0.4\nedge-1,big,2,2,2\n"


def device(name: str, suite: str = SUITE) -> HardwareVector:
    return HardwareVector(suite, "1", {name: Reading(0.1, 0.0)})


def model(name: str, likeness: float = 1.0) -> ModelFeatures:
    return ModelFeatures("1", {}, 0.0, 0.0, 0, 0, {}, {name: likeness})


@pytest.fixture
def listed(tmp_path: Path) -> CsvPredictor:
    path = tmp_path / "predictions.csv"
    path.write_text(ROWS)
    return CsvPredictor.read(path)


def test_a_pair_has_the_latency_of_the_file(listed: CsvPredictor) -> None:
    assert listed.predict(model("tiny"), device("edge-1")) == Prediction(0.2, 0.1, 0.4, "listed")


def test_pairs_that_are_not_in_the_file_are_unknown(listed: CsvPredictor) -> None:
    assert listed.predict(model("tiny"), device("edge-2")) is None
    assert listed.predict(model("other"), device("edge-1")) is None
    assert listed.predict(model("tiny", 0.9), device("edge-1")) is None
    assert listed.predict(model("tiny"), device("edge-1", "hrm")) is None
    assert listed.explain(model("other"), device("edge-1")) is None


def test_a_table_has_the_latencies_of_all_pairs(listed: CsvPredictor) -> None:
    table = listed.table([model("tiny"), model("big")], [device("edge-1"), device("edge-2")])

    np.testing.assert_allclose(table.latency, [[0.2, np.nan], [2.0, np.nan]])
    np.testing.assert_allclose(table.low[:, 0], [0.1, 2.0])
    np.testing.assert_allclose(table.high[:, 0], [0.4, 2.0])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("device,model,latency_s\na,b,1\n", id="column"),
        pytest.param("device,model,latency_s,low_s,high_s\na,b,1,2,3\n", id="interval"),
        pytest.param("device,model,latency_s,low_s,high_s\na,b,x,1,1\n", id="number"),
        pytest.param("device,model,latency_s,low_s,high_s\na,b\n", id="short row"),
    ],
)
def test_an_invalid_file_is_rejected(tmp_path: Path, content: str) -> None:
    (tmp_path / "wrong.csv").write_text(content)

    with pytest.raises(InvalidInput, match="no list of predictions"):
        CsvPredictor.read(tmp_path / "wrong.csv")


def test_a_setting_selects_the_file_instead_of_the_network(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(ROWS)

    listed = ExtenderSettings.read({"ACESNIPER_PREDICTIONS": str(path)})

    assert isinstance(predictor_of(listed), CsvPredictor)
    assert not isinstance(predictor_of(ExtenderSettings.read({})), CsvPredictor)
