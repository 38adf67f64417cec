"""`acesniper run` and `acesniper model read` with models, inputs and outputs in other places."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from acesniper.api import messages
from acesniper.cli.__main__ import main
from acesniper.domain.errors import InvalidModel, Unavailable
from acesniper.predictor.features import FEATURE_NAMES
from acesniper.testbed.demo.examples import serve_folder
from small_models import linear_model, save


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    return save(linear_model(), folder / "linear.onnx")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_a_downloaded_model_is_run_from_the_cache_the_second_time(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, sha256 = tmp_path / "cache", digest(model)
    cache.mkdir()
    kept = ("--sha256", sha256, "--cache", str(cache), "--report", str(tmp_path / "report"))

    with serve_folder(model.parent) as url:
        first = call("run", f"{url}/linear.onnx", *kept)
    second = call("run", f"{url}/linear.onnx", *kept)

    assert (first, second) == (0, 0)
    assert [file.name for file in cache.iterdir() if file.name[0] != "."] == [sha256]
    assert json.loads((tmp_path / "report").read_text())["model"] == "linear.onnx"


def test_a_downloaded_input_gives_outputs_in_a_folder(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(model.parent / "x.npy", np.full((1, 8), 0.5, np.float32))

    with serve_folder(model.parent) as url:
        given = ("--input", f"{url}/x.npy", "--input-sha256", digest(model.parent / "x.npy"))
        code = call("run", str(model), *given, "--output", str(tmp_path / "out"))

    assert code == 0
    with np.load(tmp_path / "out/batch-000000.npz") as content:
        assert content["y"].tolist() == [[4.0] * 4]


def test_a_model_is_read_for_the_operator(model: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"

    code = call("model", "read", str(model), "--sha256", digest(model), "--report", str(report))

    features = messages.unpack_features(report.read_text(), FEATURE_NAMES)
    assert code == 0
    assert features is not None
    assert features.parameters > 0


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("linear.onnx", InvalidModel, "has SHA-256"),
        ("none.onnx", Unavailable, "does not exist"),
    ],
    ids=["another digest", "not there yet"],
)
def test_the_reason_why_a_model_cannot_be_read_is_reported(
    model: Path, tmp_path: Path, name: str, error: type[Exception], message: str
) -> None:
    report = tmp_path / "report"
    path = model.parent / name

    code = call("model", "read", str(path), "--sha256", "0" * 64, "--report", str(report))

    assert code != 0
    with pytest.raises(error, match=message):
        messages.unpack_features(report.read_text(), FEATURE_NAMES)
