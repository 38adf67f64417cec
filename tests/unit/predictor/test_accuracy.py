import numpy as np
import pytest

from acesniper.predictor.accuracy import (
    PredictionOutcome,
    accuracy,
    kendall,
    ranks,
    regret,
    spearman,
)


def outcome(
    measured: list[list[float]], predicted: list[list[float]], half: float = 0.0
) -> PredictionOutcome:
    true, guess = np.log(np.array(measured)), np.log(np.array(predicted))
    return PredictionOutcome(true, guess, guess - half, guess + half, np.isfinite(true))


def test_errors_are_relative_to_the_measured_latency() -> None:
    figures = accuracy(outcome([[100.0, 100.0, 100.0, 100.0]], [[105.0, 85.0, 150.0, 100.0]]))

    assert figures["mean"] == pytest.approx((5 + 15 + 50 + 0) / 4)
    assert figures["median"] == pytest.approx(10.0)
    assert figures["within10"] == pytest.approx(50.0)
    assert figures["within20"] == pytest.approx(75.0)


def test_equal_values_share_a_rank() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 7.0])).tolist() == [1.5, 0.0, 1.5, 3.0]


def test_spearman_of_one_swap() -> None:
    # 1 - 6 * (1 + 1) / (4 * 15)
    assert spearman(np.array([1, 2, 3, 4]), np.array([2, 1, 3, 4])) == pytest.approx(0.8)


def test_kendall_of_one_swap_and_of_a_tie() -> None:
    assert kendall(np.array([1, 2, 3, 4]), np.array([2, 1, 3, 4])) == pytest.approx(4 / 6)
    # pairs: two in order, one tied on one side: 2 / sqrt(2 * 3)
    assert kendall(np.array([1, 1, 2]), np.array([1, 2, 3])) == pytest.approx(2 / 6**0.5)


def test_regret_is_the_extra_latency_of_the_chosen_device() -> None:
    one = outcome([[10.0, 10.0], [20.0, 30.0]], [[9.0, 30.0], [12.0, 20.0]])

    assert regret(one) == pytest.approx((0.0 + 2.0) / 2)


def test_coverage_and_width_are_of_the_interval() -> None:
    figures = accuracy(outcome([[100.0, 100.0]], [[104.0, 130.0]], half=np.log(1.1)))

    assert figures["coverage90"] == pytest.approx(50.0)
    assert figures["width90"] == pytest.approx(21.0)


def test_without_cells_there_are_no_figures() -> None:
    assert accuracy(outcome([[float("nan")]], [[1.0]])) == {"cells": 0.0}
