import numpy as np

from acesniper.predictor.tables.predict import ConformalScores, device_signs, new_device_margins


def rehearsed(devices: int, seed: int = 0) -> tuple[ConformalScores, np.ndarray]:
    """Scores whose size goes with the signs of their device."""
    draw = np.random.default_rng(seed)
    strange = np.exp(draw.normal(0.5, 0.4, devices))
    scores = np.abs(draw.normal(0.0, 1.0, (devices, 40))) * strange[:, None]
    return ConformalScores(scores), device_signs(strange, 0.05 * strange)


def test_a_device_unlike_the_known_gets_wider_intervals() -> None:
    scores, past = rehearsed(30)
    new = device_signs(np.array([1.0, 2.0, 4.0]), np.array([0.05, 0.1, 0.2]))

    found = new_device_margins(scores, past, new)

    assert (np.diff(found) > 0).all()
    assert found[2] > 2 * found[0]


def test_intervals_suffice_for_nearly_every_new_device() -> None:
    scores, past = rehearsed(60)
    later, new = rehearsed(60, seed=1)

    covered = (later.values <= new_device_margins(scores, past, new)[:, None]).mean(axis=1)

    assert covered.mean() > 0.93
    assert (covered >= 0.85).mean() >= 0.95


def test_one_rehearsed_device_is_taken_as_it_is() -> None:
    scores, past = rehearsed(1)

    found = new_device_margins(scores, past, past)

    np.testing.assert_allclose(found, scores.each())
