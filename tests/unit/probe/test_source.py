from pathlib import Path

import pytest

from acesniper.domain.errors import InvalidInput, InvalidModel, Unavailable
from acesniper.probe.source import local_model
from acesniper.runtime.artifacts import DownloadLimits
from acesniper.testbed.demo.examples import serve_folder


def test_a_file_is_used_where_it_is(tmp_path: Path) -> None:
    with local_model(str(tmp_path / "model.onnx")) as model:
        assert model.path == tmp_path / "model.onnx"


def test_an_address_is_fetched_and_removed_afterwards(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"weights")

    with serve_folder(tmp_path) as url, local_model(f"{url}/model.onnx") as model:
        assert model.path.read_bytes() == b"weights"
        assert model.path.name == "model.onnx"

    assert not model.path.exists()


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x" * 101)

    with (
        serve_folder(tmp_path) as url,
        pytest.raises(InvalidModel, match="larger than"),
        local_model(f"{url}/model.onnx", limits=DownloadLimits(most_bytes=100)),
    ):
        pass


def test_what_is_not_there_may_come_later(tmp_path: Path) -> None:
    with (
        serve_folder(tmp_path) as url,
        pytest.raises(Unavailable, match="404"),
        local_model(f"{url}/none.onnx"),
    ):
        pass


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://host/model.onnx"])
def test_other_schemes_are_refused(where: str) -> None:
    with pytest.raises(InvalidInput, match="use one of http://"), local_model(where):
        pass
