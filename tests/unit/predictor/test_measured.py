import numpy as np
import pytest

from acesniper.domain.device import HardwareVector
from acesniper.predictor.atlas.measured import Platform, arranged, measured, platforms
from acesniper.predictor.atlas.networks import index
from acesniper.predictor.workloads import known_suite

EDGE = Platform("edge", "ort", HardwareVector("hrm", "2", {}), 0.02)
BOARD = Platform("board", "ncnn", HardwareVector("hrm", "2", {}), 0.03)


def test_what_a_platform_cannot_run_is_a_gap() -> None:
    found = arranged((EDGE, BOARD), {("edge", "a"): 2.0, ("edge", "b"): 4.0, ("board", "b"): 8.0})

    assert found.networks == ("a", "b")
    assert np.exp(found.log_s[1]) == pytest.approx([0.004, 0.008])
    assert np.isnan(found.log_s[0, 1])


def test_the_shipped_atlas_is_measured_on_really_different_platforms() -> None:
    known = platforms()

    assert len(known) >= 16
    assert len({each.runtime for each in known}) >= 6
    assert all(0 < each.noise_floor < 0.1 for each in known)


def test_every_platform_was_probed_with_the_suite_of_today() -> None:
    suite = known_suite()

    for each in platforms():
        assert (each.vector.suite, each.vector.version) == (suite.name, suite.version)
        assert len(each.vector.readings) > 30


def test_every_latency_belongs_to_a_known_network() -> None:
    content = measured()

    assert set(content.networks) <= set(index())
    assert len(content.networks) >= 150
    assert np.isfinite(content.log_s).mean() > 0.9
