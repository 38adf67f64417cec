from pathlib import Path

import pytest

from acesniper.domain.errors import InvalidInput, InvalidModel, Unavailable
from acesniper.probe.source import local_model
from acesniper.runtime.artifacts import DownloadLimits
from acesniper.testbed.demo.examples import serve_folder


def test_a_local_file_is_used_in_place(tmp_path: Path) -> None:
    with local_model(str(tmp_path / "model.onnx")) as model:
        assert model.path == tmp_path / "model.onnx"


def test_a_download_is_removed_afterwards(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"weights")

    with serve_folder(tmp_path) as url, local_model(f"{url}/model.onnx") as model:
        assert model.path.read_bytes() == b"weights"
        assert model.path.name == "model.onnx"

    assert not model.path.exists()


def test_a_file_above_the_limit_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x" * 101)

    with (
        serve_folder(tmp_path) as url,
        pytest.raises(InvalidModel, match="larger than"),
        local_model(f"{url}/model.onnx", limits=DownloadLimits(most_bytes=100)),
    ):
        pass


def test_a_missing_file_on_a_server_is_retryable(tmp_path: Path) -> None:
    with (
        serve_folder(tmp_path) as url,
        pytest.raises(Unavailable, match="404"),
        local_model(f"{url}/none.onnx"),
    ):
        pass


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://host/model.onnx"])
def test_other_schemes_are_rejected(where: str) -> None:
    with pytest.raises(InvalidInput, match="use one of http://"), local_model(where):
        pass
