"""Latency tables: invalid cells, and corrections by observations."""

import math

import numpy as np
import pytest

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.base import LatencyArrays, Observation, corrected_table

MODELS = [ModelFeatures("1", {"n": float(n)}, 0.0, 0.0, 0, 0, {}, {}) for n in range(3)]


def table(spread: float = 0.2) -> LatencyArrays:
    latency = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, np.nan]])
    return LatencyArrays(latency, np.full(latency.shape, spread))


def test_a_table_without_observations_is_unchanged() -> None:
    before = table()

    assert corrected_table(before, MODELS, [[], []]) is before


def test_a_certain_observation_corrects_more_than_an_uncertain_one() -> None:
    sure = corrected_table(table(), MODELS, [[Observation(MODELS[0], 1.5, 1e-6)], []])
    doubtful = corrected_table(table(), MODELS, [[Observation(MODELS[0], 1.5, 0.1)], []])

    assert sure.latency[0, 0] == pytest.approx(1.5, rel=1e-3)
    assert 1.0 < doubtful.latency[0, 0] < 1.3
    assert sure.spread[0, 0] < doubtful.spread[0, 0] <= 0.2


def test_observations_correct_other_models_in_part_and_no_other_device() -> None:
    result = corrected_table(table(), MODELS, [[Observation(MODELS[0], 1.5, 1e-6)], []])

    assert 2.0 < result.latency[1, 0] < 3.0
    assert result.latency[:2, 1].tolist() == [1.0, 2.0]


def test_a_drifted_device_is_slower_for_all_models() -> None:
    seen = [
        Observation(model, 2 * latency_s, 1e-4, shift=1.0)
        for model, latency_s in zip(MODELS[:2], (1.0, 2.0), strict=True)
    ]

    result = corrected_table(table(), MODELS, [seen, []])

    assert result.latency[2, 0] == pytest.approx(8.0, rel=0.05)


def test_unknown_cells_stay_unknown() -> None:
    result = corrected_table(table(), MODELS, [[], [Observation(MODELS[2], 9.0, 1e-6)]])

    assert np.isnan(result.latency[2, 1])


def test_the_given_table_is_not_modified() -> None:
    before = table()

    corrected_table(before, MODELS, [[Observation(MODELS[0], 1.5, 1e-6)], []])

    assert before.latency[0, 0] == 1.0


GOOD = 0.02


@pytest.mark.parametrize(
    ("latency_s", "spread"),
    [(math.inf, math.nan), (math.inf, 0.1), (0.0, 0.1), (-1.0, 0.1), (1e25, 0.1), (1.0, math.nan)],
)
def test_an_invalid_latency_is_unknown_and_other_cells_are_not(
    latency_s: float, spread: float
) -> None:
    result = LatencyArrays(
        np.array([[latency_s, GOOD]], np.float32), np.array([[spread, 0.1]], np.float16)
    )

    bad, good = result.predictions("test")[0]
    believed = result.sound()

    assert bad is None
    assert good is not None
    assert np.isnan(believed.latency).tolist() == [[True, False]]
    assert np.isnan(believed.spread).tolist() == [[True, False]]
    assert believed.latency.dtype == np.dtype(np.float32)
    assert believed.spread.dtype == np.dtype(np.float16)
