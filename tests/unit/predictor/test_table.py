"""What is made of predictions that no device could keep."""

import math

import numpy as np
import pytest

from acesniper.predictor.base import LatencyArrays

GOOD = 0.02


@pytest.mark.parametrize(
    ("latency_s", "spread"),
    [(math.inf, math.nan), (math.inf, 0.1), (0.0, 0.1), (-1.0, 0.1), (1e25, 0.1), (1.0, math.nan)],
)
def test_what_no_device_takes_is_unknown_and_its_neighbours_are_not(
    latency_s: float, spread: float
) -> None:
    found = LatencyArrays(
        np.array([[latency_s, GOOD]], np.float32), np.array([[spread, 0.1]], np.float16)
    )

    bad, good = found.predictions("test")[0]
    believed = found.sound()

    assert bad is None
    assert good is not None
    assert np.isnan(believed.latency).tolist() == [[True, False]]
    assert np.isnan(believed.spread).tolist() == [[True, False]]
    assert believed.latency.dtype == np.dtype(np.float32)
    assert believed.spread.dtype == np.dtype(np.float16)
