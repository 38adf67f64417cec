import numpy as np

from acesniper.predictor.tables.model_transfer import (
    expected_deviation,
    stacking_weights,
    weighted_mean,
)


def test_a_device_weights_the_most_accurate_member() -> None:
    truth = np.random.default_rng(0).normal(size=(2, 400))
    wrong = truth + 0.5
    tried = np.array([np.stack([truth[0], wrong[1]]), np.stack([wrong[0], truth[1]])])

    share = stacking_weights(tried, truth, judges=2)

    np.testing.assert_allclose(share, np.eye(2))
    np.testing.assert_allclose(weighted_mean(tried, share), truth)


def test_a_device_without_observations_uses_validation_weights() -> None:
    truth = np.random.default_rng(0).normal(size=(3, 40))
    tried = np.array([truth, truth + 0.3])
    measured = np.where(np.arange(3)[:, None] < 2, truth, np.nan)

    share = stacking_weights(tried, measured, judges=2)

    np.testing.assert_allclose(share[:, 2], [1.0, 0.0])


def test_disagreement_between_members_widens_the_deviation() -> None:
    spread = np.full((2, 1, 2), 0.1)
    tried = np.array([[[0.0, 0.0]], [[0.0, 1.0]]])

    deviation = expected_deviation(tried, spread)

    np.testing.assert_allclose(deviation, [[0.1, np.sqrt(0.01 + 0.25)]])
