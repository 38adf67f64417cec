from pathlib import Path

import numpy as np
import pytest

from acesniper.domain.device import HardwareVector
from acesniper.domain.errors import InvalidInput
from acesniper.predictor.atlas.latencies import (
    MeasuredPlatform,
    latency_matrix,
    read_latencies,
    read_platforms,
)
from acesniper.predictor.atlas.networks import network_index
from acesniper.predictor.probe_matrix import known_suite

EDGE = MeasuredPlatform("edge", "ort", HardwareVector("hrm", "2", {}), 0.02)
BOARD = MeasuredPlatform("board", "ncnn", HardwareVector("hrm", "2", {}), 0.03)


def test_a_network_that_a_platform_cannot_run_is_a_gap() -> None:
    result = latency_matrix(
        (EDGE, BOARD), {("edge", "a"): 2.0, ("edge", "b"): 4.0, ("board", "b"): 8.0}
    )

    assert result.networks == ("a", "b")
    assert np.exp(result.log_s[1]) == pytest.approx([0.004, 0.008])
    assert np.isnan(result.log_s[0, 1])


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "cannot be read"), ("no json", "cannot be read"), ('{"a": {}}', "lacks 'runtime'")],
    ids=["missing", "no json", "field missing"],
)
def test_the_error_names_a_folder_that_is_not_an_atlas(
    text: str | None, words: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "platforms.json").write_text(text)

    with pytest.raises(InvalidInput, match=words):
        read_latencies(tmp_path)


def test_the_error_names_latencies_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "platforms.json").write_text("{}")
    (tmp_path / "latencies.parquet").write_bytes(b"no parquet")

    with pytest.raises(InvalidInput, match=r"latencies\.parquet cannot be read"):
        read_latencies(tmp_path)


def test_the_platforms_of_the_shipped_atlas_differ() -> None:
    known = read_platforms()

    assert len(known) >= 16
    assert len({platform.runtime for platform in known}) >= 6
    assert all(0 < platform.noise_floor < 0.1 for platform in known)


def test_every_platform_was_probed_with_the_current_suite() -> None:
    suite = known_suite()

    for platform in read_platforms():
        assert (platform.vector.suite, platform.vector.version) == (suite.name, suite.version)
        assert len(platform.vector.readings) > 30


def test_every_latency_belongs_to_a_known_network() -> None:
    content = read_latencies()

    assert set(content.networks) <= set(network_index())
    assert len(content.networks) >= 150
    assert np.isfinite(content.log_s).mean() > 0.9
