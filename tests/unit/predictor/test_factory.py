import asyncio
import hashlib
from pathlib import Path

import pytest

from acesniper.predictor.factory import SHIPPED, ReplaceablePredictor, default_predictor
from small_atlas import make_features, make_vector, write_small

CONV, DEVICE = make_features(("conv_wide",)), make_vector()


@pytest.fixture
def another(tmp_path: Path) -> bytes:
    """The content of another network than the shipped one."""
    return write_small(tmp_path / "another.onnx").read_bytes()


def latency_s(predictor: ReplaceablePredictor) -> float:
    return float(predictor.table([CONV], [DEVICE]).latency[0, 0])


def test_without_a_file_the_shipped_network_serves(tmp_path: Path) -> None:
    predictor = ReplaceablePredictor(tmp_path / "pcn.onnx")

    assert not predictor.reload()
    assert predictor.digest == SHIPPED
    assert latency_s(predictor) == default_predictor().table([CONV], [DEVICE]).latency[0, 0]


def test_a_created_changed_or_deleted_file_takes_effect(tmp_path: Path, another: bytes) -> None:
    file = tmp_path / "pcn.onnx"
    predictor = ReplaceablePredictor(file)
    shipped_s, shipped = latency_s(predictor), predictor.source

    file.write_bytes(another)
    came, other_s, source = predictor.reload(), latency_s(predictor), predictor.source
    again = predictor.reload()
    file.unlink()
    went, back_s = predictor.reload(), latency_s(predictor)

    digest = hashlib.sha256(another).hexdigest()
    assert (came, again, went) == (True, False, True)
    assert shipped_s == back_s != other_s
    assert source == f"{shipped}@{digest[:8]}"
    assert predictor.source == shipped


def test_an_unusable_file_is_rejected_once_and_changes_nothing(
    tmp_path: Path, another: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "pcn.onnx"
    file.write_bytes(another)
    predictor = ReplaceablePredictor(file)
    predictor.reload()
    before_s, before = latency_s(predictor), predictor.digest

    file.write_bytes(another[: len(another) // 2])
    reloaded = [predictor.reload(), predictor.reload()]

    assert reloaded == [False, False]
    assert (latency_s(predictor), predictor.digest) == (before_s, before)
    assert predictor.rejected is not None
    assert caplog.text.count("is rejected") == 1

    file.write_bytes(another)
    assert not predictor.reload(), "it is the one that serves"
    assert predictor.rejected is None


async def test_a_follower_is_notified_of_a_new_network(tmp_path: Path, another: bytes) -> None:
    file, notified = tmp_path / "pcn.onnx", asyncio.Event()
    predictor = ReplaceablePredictor(file)
    following = asyncio.create_task(predictor.follow(notified.set, interval_s=0.01))

    file.write_bytes(another)

    async with asyncio.timeout(30):
        await notified.wait()
    following.cancel()
    assert predictor.digest != SHIPPED
