import numpy as np
import pytest

from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.measurements import MeasuredTable
from acesniper.simulator.latency_source import LatencySource, cross_fitted, deviation_for
from synthetic_tables import synthetic

TABLE, _ = synthetic(devices=15, models=30)


@pytest.mark.parametrize("text", ["", "noise", "noise:", "noise:-1", "noise:nan", "true:1", "pcn"])
def test_an_unknown_predictor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="none of true, trained, noise"):
        LatencySource.parse(text)


@pytest.mark.parametrize("text", ["true", "trained", "noise:0.11"])
def test_a_predictor_is_told_as_it_was_asked_for(text: str) -> None:
    assert str(LatencySource.parse(text)) == text


def test_the_truth_is_believed_without_doubt() -> None:
    belief = LatencySource.parse("true").estimate(TABLE, 1)

    for each in (belief.middle, belief.low, belief.high):
        np.testing.assert_array_equal(each, TABLE.log_ms)


@pytest.mark.parametrize("error", [0.05, 0.11, 0.4])
def test_noise_has_the_mean_error_it_is_asked_for(error: float) -> None:
    factors = np.exp(np.random.default_rng(0).normal(0.0, deviation_for(error), 400_000))

    assert np.abs(factors - 1.0).mean() == pytest.approx(error, rel=0.02)


def test_noise_is_of_the_seed_and_its_interval_holds_nine_in_ten() -> None:
    table = MeasuredTable(TABLE.devices * 20, TABLE.models, np.tile(TABLE.log_ms, (20, 1)))
    noise = LatencySource.parse("noise:0.2")
    one, again, other = (noise.estimate(table, seed) for seed in (1, 1, 2))

    inside = ((one.low <= table.log_ms) & (table.log_ms <= one.high)).mean()

    assert inside == pytest.approx(0.9, abs=0.01)
    np.testing.assert_array_equal(one.middle, again.middle)
    assert (one.middle != other.middle).all()


def test_readings_are_believed_and_the_rest_is_predicted_well() -> None:
    belief = cross_fitted(TABLE, 6, TABLE.models[:6])

    np.testing.assert_array_equal(belief.middle[:, :6], TABLE.log_ms[:, :6])
    wrong = np.abs(belief.middle - TABLE.log_ms)[:, 6:]
    assert 0.0 < wrong.mean() < 0.1
    assert ((belief.low <= belief.middle) & (belief.middle <= belief.high)).all()


def test_nothing_of_a_device_but_its_readings_reaches_its_prediction() -> None:
    """Another truth behind the readings changes no prediction of that device."""
    references = TABLE.models[:6]
    changed = TABLE.log_ms.copy()
    changed[4, 6:] += 1.0

    before = cross_fitted(TABLE, 6, references)
    after = cross_fitted(MeasuredTable(TABLE.devices, TABLE.models, changed), 6, references)

    np.testing.assert_array_equal(before.middle[4], after.middle[4])


def test_nor_does_anything_of_its_group() -> None:
    names = tuple(f"chip{i // 3}|{i}" for i in range(len(TABLE.devices)))
    before = cross_fitted(MeasuredTable(names, TABLE.models, TABLE.log_ms), 6)
    chosen = before.middle[3] == TABLE.log_ms[3]
    changed = TABLE.log_ms.copy()
    changed[3:6, ~chosen] += np.random.default_rng(0).normal(0.0, 3.0, changed[3:6, ~chosen].shape)

    after = cross_fitted(MeasuredTable(names, TABLE.models, changed), 6)

    assert chosen.sum() == 6
    np.testing.assert_array_equal(before.middle[3:6], after.middle[3:6])


def test_references_the_table_lacks_are_refused() -> None:
    with pytest.raises(InvalidInput, match="reference"):
        cross_fitted(TABLE, 3, ("unheard-of",))
