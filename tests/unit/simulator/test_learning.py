import numpy as np

from acesniper.domain.task import ModelKey
from acesniper.predictor.tables.measurements import MeasuredTable
from acesniper.simulator.cluster import select_cluster
from acesniper.simulator.comparison import Scenario, compare
from acesniper.simulator.latency_source import (
    LatencyEstimate,
    LatencySource,
    OnlineLearner,
    cross_fitted,
    latency_rows,
)
from acesniper.simulator.workload import SimulatedWorkload
from synthetic_tables import synthetic

TABLE, _ = synthetic(devices=12, models=20, noise=0.1)


def learner(belief: LatencyEstimate, table: MeasuredTable = TABLE) -> OnlineLearner:
    cluster = select_cluster(table, None, 1)
    return OnlineLearner(cluster, belief, latency_rows(cluster, belief, "believed"))


def test_rows_are_the_beliefs_in_seconds() -> None:
    found = learner(LatencySource.parse("noise:0.2").estimate(TABLE, 1))

    row = found.estimates[ModelKey(TABLE.models[3])]
    np.testing.assert_allclose(row.latency_s, np.exp(found.belief.middle[:, 3]) / 1e3)
    np.testing.assert_allclose(row.high_s, np.exp(found.belief.high[:, 3]) / 1e3)


def test_what_a_task_took_is_believed_of_its_device_and_model_alone() -> None:
    found = learner(LatencySource.parse("noise:0.2").estimate(TABLE, 1))
    before = dict(found.estimates)

    found.observe(2, 5, 0.125)

    row, old = (each[ModelKey(TABLE.models[5])] for each in (found.estimates, before))
    assert (row.low_s[2], row.latency_s[2], row.high_s[2]) == (0.125, 0.125, 0.125)
    np.testing.assert_array_equal(np.delete(row.latency_s, 2), np.delete(old.latency_s, 2))
    assert old.latency_s[2] != 0.125  # a plan may still hold it
    changed = [model for model in before if found.estimates[model] is not before[model]]
    assert changed == [TABLE.models[5]]


def test_a_fit_without_news_predicts_what_was_believed() -> None:
    belief = cross_fitted(TABLE, 6)
    assert belief.fit is not None

    for row in range(len(TABLE.devices)):
        shown = belief.fit.shown[row]
        assert np.isfinite(shown).sum() == 6
        unknown = np.isnan(shown)
        again = belief.fit.predict(row, shown)
        np.testing.assert_allclose(again[unknown], belief.middle[row, unknown])


def test_a_fit_predicts_a_device_s_other_models_better_for_what_ran_there() -> None:
    def error(found: OnlineLearner) -> float:
        believed = np.array([found.estimates[ModelKey(each)].latency_s[4] for each in TABLE.models])
        unknown = np.ones(len(TABLE.models), bool)
        unknown[:12] = False
        wrong = np.abs(np.log(1e3 * believed) - TABLE.log_ms[4])[unknown]
        return float(wrong.mean())

    found = learner(cross_fitted(TABLE, 2, TABLE.models[:2]))
    before = error(found)

    for model in range(2, 12):
        found.observe(4, model, float(np.exp(TABLE.log_ms[4, model]) / 1e3))

    assert 0.0 < error(found) < before
    believed = [found.estimates[ModelKey(each)].latency_s[4] for each in TABLE.models[:12]]
    np.testing.assert_allclose(np.log(1e3 * np.array(believed)), TABLE.log_ms[4, :12])


def test_what_is_believed_already_teaches_nothing() -> None:
    found = learner(LatencySource.parse("true").estimate(TABLE, 1))
    before = dict(found.estimates)

    found.observe(2, 5, float(np.exp(TABLE.log_ms[2, 5]) / 1e3))

    assert found.estimates == before


def test_learning_brings_a_policy_nearer_to_its_oracle() -> None:
    [fixed], [learning] = (
        compare(
            Scenario(TABLE, SimulatedWorkload(800), learn=learn),
            ["fcfs-mct"],
            LatencySource.parse("noise:0.8"),
            [1],
        )
        for learn in (False, True)
    )

    assert learning.response_over_oracle < fixed.response_over_oracle
