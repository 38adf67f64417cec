import numpy as np
import pytest

from acesniper.domain.errors import InvalidInput
from acesniper.domain.task import ModelKey
from acesniper.predictor.tables.measurements import MeasuredTable
from acesniper.simulator.cluster import select_cluster
from acesniper.simulator.comparison import Scenario, compare
from acesniper.simulator.latency_source import (
    LatencyEstimate,
    LatencySource,
    OnlineLearner,
    cross_fitted,
    deviation_for,
    latency_rows,
)
from acesniper.simulator.workload import SimulatedWorkload
from synthetic_tables import synthetic

TABLE, _ = synthetic(devices=15, models=30)


@pytest.mark.parametrize("text", ["", "noise", "noise:", "noise:-1", "noise:nan", "true:1", "pcn"])
def test_an_unknown_predictor_is_rejected(text: str) -> None:
    with pytest.raises(InvalidInput, match="is unknown; use true, trained or noise"):
        LatencySource.parse(text)


@pytest.mark.parametrize("text", ["true", "trained", "noise:0.11"])
def test_a_latency_source_round_trips_through_its_text(text: str) -> None:
    assert str(LatencySource.parse(text)) == text


def test_true_latencies_have_intervals_of_zero_width() -> None:
    estimate = LatencySource.parse("true").estimate(TABLE, 1)

    for values in (estimate.middle, estimate.low, estimate.high):
        np.testing.assert_array_equal(values, TABLE.log_ms)


@pytest.mark.parametrize("error", [0.05, 0.11, 0.4])
def test_noise_has_the_requested_mean_error(error: float) -> None:
    factors = np.exp(np.random.default_rng(0).normal(0.0, deviation_for(error), 400_000))

    assert np.abs(factors - 1.0).mean() == pytest.approx(error, rel=0.02)


def test_noise_depends_on_the_seed_and_its_interval_covers_90_percent() -> None:
    table = MeasuredTable(TABLE.devices * 20, TABLE.models, np.tile(TABLE.log_ms, (20, 1)))
    noise = LatencySource.parse("noise:0.2")
    one, again, other = (noise.estimate(table, seed) for seed in (1, 1, 2))

    inside = ((one.low <= table.log_ms) & (table.log_ms <= one.high)).mean()

    assert inside == pytest.approx(0.9, abs=0.01)
    np.testing.assert_array_equal(one.middle, again.middle)
    assert (one.middle != other.middle).all()


def test_reference_readings_are_kept_and_the_rest_is_predicted_well() -> None:
    estimate = cross_fitted(TABLE, 6, TABLE.models[:6])

    np.testing.assert_array_equal(estimate.middle[:, :6], TABLE.log_ms[:, :6])
    errors = np.abs(estimate.middle - TABLE.log_ms)[:, 6:]
    assert 0.0 < errors.mean() < 0.1
    assert ((estimate.low <= estimate.middle) & (estimate.middle <= estimate.high)).all()


def test_a_device_is_predicted_from_its_readings_only() -> None:
    """Other latencies of the device change none of its predictions."""
    references = TABLE.models[:6]
    changed = TABLE.log_ms.copy()
    changed[4, 6:] += 1.0

    before = cross_fitted(TABLE, 6, references)
    after = cross_fitted(MeasuredTable(TABLE.devices, TABLE.models, changed), 6, references)

    np.testing.assert_array_equal(before.middle[4], after.middle[4])


def test_a_device_is_predicted_without_others_of_its_group() -> None:
    names = tuple(f"chip{i // 3}|{i}" for i in range(len(TABLE.devices)))
    before = cross_fitted(MeasuredTable(names, TABLE.models, TABLE.log_ms), 6)
    chosen = before.middle[3] == TABLE.log_ms[3]
    changed = TABLE.log_ms.copy()
    changed[3:6, ~chosen] += np.random.default_rng(0).normal(0.0, 3.0, changed[3:6, ~chosen].shape)

    after = cross_fitted(MeasuredTable(names, TABLE.models, changed), 6)

    assert chosen.sum() == 6
    np.testing.assert_array_equal(before.middle[3:6], after.middle[3:6])


def test_references_missing_from_the_table_are_rejected() -> None:
    with pytest.raises(InvalidInput, match="reference"):
        cross_fitted(TABLE, 3, ("missing",))


NOISY_TABLE, _ = synthetic(devices=12, models=20, noise=0.1)


def learner(estimate: LatencyEstimate, table: MeasuredTable = NOISY_TABLE) -> OnlineLearner:
    cluster = select_cluster(table, None, 1)
    return OnlineLearner(cluster, estimate, latency_rows(cluster, estimate, "test"))


def test_rows_are_the_estimates_in_seconds() -> None:
    online = learner(LatencySource.parse("noise:0.2").estimate(NOISY_TABLE, 1))

    row = online.estimates[ModelKey(NOISY_TABLE.models[3])]
    np.testing.assert_allclose(row.latency_s, np.exp(online.initial.middle[:, 3]) / 1e3)
    np.testing.assert_allclose(row.high_s, np.exp(online.initial.high[:, 3]) / 1e3)


def test_an_observation_changes_only_its_device_and_model() -> None:
    online = learner(LatencySource.parse("noise:0.2").estimate(NOISY_TABLE, 1))
    before = dict(online.estimates)

    online.observe(2, 5, 0.125)

    row, old = (rows[ModelKey(NOISY_TABLE.models[5])] for rows in (online.estimates, before))
    assert (row.low_s[2], row.latency_s[2], row.high_s[2]) == (0.125, 0.125, 0.125)
    np.testing.assert_array_equal(np.delete(row.latency_s, 2), np.delete(old.latency_s, 2))
    assert old.latency_s[2] != 0.125  # a plan may still refer to the old row
    changed = [model for model in before if online.estimates[model] is not before[model]]
    assert changed == [NOISY_TABLE.models[5]]


def test_a_fit_without_observations_repeats_the_estimates() -> None:
    estimate = cross_fitted(NOISY_TABLE, 6)
    assert estimate.fit is not None

    for row in range(len(NOISY_TABLE.devices)):
        shown = estimate.fit.shown[row]
        assert np.isfinite(shown).sum() == 6
        unknown = np.isnan(shown)
        again = estimate.fit.predict(row, shown)
        np.testing.assert_allclose(again[unknown], estimate.middle[row, unknown])


def test_observations_improve_predictions_of_other_models_on_the_device() -> None:
    def error(online: OnlineLearner) -> float:
        predicted = np.array(
            [online.estimates[ModelKey(model)].latency_s[4] for model in NOISY_TABLE.models]
        )
        unknown = np.ones(len(NOISY_TABLE.models), bool)
        unknown[:12] = False
        errors = np.abs(np.log(1e3 * predicted) - NOISY_TABLE.log_ms[4])[unknown]
        return float(errors.mean())

    online = learner(cross_fitted(NOISY_TABLE, 2, NOISY_TABLE.models[:2]))
    before = error(online)

    for model in range(2, 12):
        online.observe(4, model, float(np.exp(NOISY_TABLE.log_ms[4, model]) / 1e3))

    assert 0.0 < error(online) < before
    predicted = [
        online.estimates[ModelKey(model)].latency_s[4] for model in NOISY_TABLE.models[:12]
    ]
    np.testing.assert_allclose(np.log(1e3 * np.array(predicted)), NOISY_TABLE.log_ms[4, :12])


def test_an_expected_observation_changes_no_estimate() -> None:
    online = learner(LatencySource.parse("true").estimate(NOISY_TABLE, 1))
    before = dict(online.estimates)

    online.observe(2, 5, float(np.exp(NOISY_TABLE.log_ms[2, 5]) / 1e3))

    assert online.estimates == before


def test_learning_brings_a_policy_closer_to_its_oracle() -> None:
    [fixed], [learning] = (
        compare(
            Scenario(NOISY_TABLE, SimulatedWorkload(800), learn=learn),
            ["fcfs-mct"],
            LatencySource.parse("noise:0.8"),
            [1],
        )
        for learn in (False, True)
    )

    assert learning.response_over_oracle < fixed.response_over_oracle
