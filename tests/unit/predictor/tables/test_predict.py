from dataclasses import replace

import numpy as np
import pytest

from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.evaluate import (
    by_ratio,
    evaluate_table,
    models_to_run_first,
    observation_curve,
)
from acesniper.predictor.tables.measurements import (
    MeasuredTable,
    TableSplit,
    split_table,
    with_observed,
)
from acesniper.predictor.tables.operators import ModelTraits
from acesniper.predictor.tables.predict import (
    ConformalScores,
    TablePrediction,
    device_signs,
    new_device_margins,
    predict_table,
)
from synthetic_tables import synthetic

REFERENCES = 6


def held_out(table: MeasuredTable) -> TableSplit:
    return split_table(table, table.models[:REFERENCES], table.devices[-5:], table.models[-8:])


def wrong(cut: TableSplit, middle: np.ndarray, task: str) -> float:
    at = cut.wanted(task)
    return float(np.abs(np.expm1(middle - cut.table.log_ms))[at].mean())


@pytest.fixture(scope="module")
def whole() -> tuple[TableSplit, list[ModelTraits], TablePrediction]:
    table, traits = synthetic()
    cut = held_out(table)
    return cut, traits, predict_table(cut, traits)


def test_only_references_of_a_new_device_are_revealed() -> None:
    table, _ = synthetic()

    cut = held_out(table)

    assert np.isfinite(cut.known[-5:]).sum(axis=1).tolist() == [REFERENCES] * 5
    assert np.isnan(cut.known[:, -8:]).all()
    assert cut.wanted("P1").sum() == 5 * (40 - 8 - REFERENCES)
    assert cut.wanted("P2").sum() == (24 - 5) * 8
    assert cut.wanted("P3").sum() == 5 * 8


def test_a_reference_that_is_held_out_is_not_revealed() -> None:
    table, _ = synthetic()

    cut = split_table(table, table.models[:3], table.devices[-1:], table.models[:1])

    assert np.isnan(cut.known[:, 0]).all()
    assert cut.references == (1, 2)


@pytest.mark.parametrize(("devices", "models"), [(slice(None), slice(0)), (slice(0), slice(None))])
def test_a_split_without_training_cells_is_rejected(devices: slice, models: slice) -> None:
    table, _ = synthetic()

    with pytest.raises(InvalidInput, match="nothing is left"):
        split_table(table, table.models[:3], table.devices[devices], table.models[models])


def test_held_out_latencies_change_no_prediction(
    whole: tuple[TableSplit, list[ModelTraits], TablePrediction],
) -> None:
    cut, traits, clean = whole
    hidden = np.isnan(cut.known)
    poison = np.where(
        hidden, 1e3 * np.sign(np.sin(np.arange(hidden.size))).reshape(hidden.shape), 0
    )
    poisoned = held_out(replace(cut.table, log_ms=cut.table.log_ms + poison))

    prediction = predict_table(poisoned, traits)

    for name in ("middle", "low", "high"):
        np.testing.assert_array_equal(getattr(prediction, name), getattr(clean, name))


def test_hidden_latencies_change_no_observation_or_selection(
    whole: tuple[TableSplit, list[ModelTraits], TablePrediction],
) -> None:
    cut, _, _ = whole
    order = models_to_run_first(cut, 3)
    hidden = np.isnan(with_observed(cut, order).known)
    poisoned = held_out(replace(cut.table, log_ms=np.where(hidden, 1e3, cut.table.log_ms)))

    clean, prediction = (predict_table(with_observed(split, order)) for split in (cut, poisoned))

    assert models_to_run_first(poisoned, 3) == order
    for name in ("middle", "low", "high"):
        np.testing.assert_array_equal(getattr(prediction, name), getattr(clean, name))


def test_known_structure_is_far_more_accurate_than_scaling(
    whole: tuple[TableSplit, list[ModelTraits], TablePrediction],
) -> None:
    cut, _, ours = whole
    known = cut.known[:-5, :-8]
    scaled = cut.known.copy()
    scaled[-5:, :-8] = by_ratio(known, cut.known[-5:, :REFERENCES], list(range(REFERENCES)))

    assert wrong(cut, ours.middle, "P1") < 0.4 * wrong(cut, scaled, "P1")
    assert wrong(cut, ours.middle, "P2") < 0.05
    assert wrong(cut, ours.middle, "P3") < 0.15


def test_intervals_contain_the_median_and_most_true_latencies(
    whole: tuple[TableSplit, list[ModelTraits], TablePrediction],
) -> None:
    cut, _, result = whole

    assert (result.low <= result.middle).all()
    assert (result.middle <= result.high).all()
    for task in ("P1", "P2", "P3"):
        at = cut.wanted(task)
        inside = (result.low <= cut.table.log_ms) & (cut.table.log_ms <= result.high)
        assert inside[at].mean() >= 0.8


def test_one_outlying_reading_has_little_effect(
    whole: tuple[TableSplit, list[ModelTraits], TablePrediction],
) -> None:
    cut, _, calm = whole
    known = cut.known.copy()
    known[-5:, 0] += np.log(3.0)

    prediction = predict_table(replace(cut, known=known))

    at = cut.wanted("P1")
    assert np.abs(prediction.middle - calm.middle)[at].mean() < 0.1


def test_gaps_are_filled_from_features() -> None:
    table, traits = synthetic(devices=24, models=60)
    log_ms = table.log_ms.copy()
    log_ms[:12, 30:50] = np.nan
    log_ms[:12] += np.random.default_rng(2).normal(0.0, 1.0, (12, 1))
    cut = split_table(
        replace(table, log_ms=log_ms), table.models[:REFERENCES], table.devices[-5:], []
    )

    prediction = predict_table(cut, traits)

    truth = table.log_ms + np.nanmean(log_ms - table.log_ms, axis=1, keepdims=True)
    gaps = np.isnan(log_ms) & ~cut.new_device[:, None]
    assert np.abs(prediction.middle - truth)[gaps].mean() < 0.05


def test_gaps_and_missing_readings_are_tolerated() -> None:
    table, traits = synthetic()
    log_ms = table.log_ms.copy()
    log_ms[np.random.default_rng(1).random(log_ms.shape) < 0.1] = np.nan
    log_ms[-1, :REFERENCES] = np.nan
    cut = held_out(replace(table, log_ms=log_ms))

    prediction = predict_table(cut, traits)

    assert np.isfinite(prediction.middle).all()
    assert wrong(cut, prediction.middle[:, :], "P2") < 0.1


def test_a_known_device_that_ran_only_new_models_is_left_out() -> None:
    table, traits = synthetic()
    log_ms = table.log_ms.copy()
    log_ms[0, :-8] = np.nan

    prediction = predict_table(held_out(replace(table, log_ms=log_ms)), traits)

    assert np.isnan(prediction.middle[0]).all()
    assert np.isfinite(prediction.middle[1:]).all()


def test_without_features_only_known_models_are_predicted() -> None:
    table, _ = synthetic()

    document = evaluate_table(held_out(table), None)

    assert document["P1"]["cells"] == 5 * (40 - 8 - REFERENCES)
    assert document["P2"] == {"cells": 0.0}
    assert set(document) == {"P1", "P2", "P3", "devices"}
    assert set(document["devices"]) == set(table.devices[-5:])


@pytest.mark.parametrize(
    ("devices", "models", "tasks"),
    [
        pytest.param(slice(0), slice(-8, None), {"P2"}, id="new models only"),
        pytest.param(slice(-5, None), slice(0), {"P1"}, id="new devices only"),
        pytest.param(slice(1, None), slice(-8, None), {"P1", "P2", "P3"}, id="one known device"),
        pytest.param(slice(0), slice(0), set(), id="nothing held out"),
    ],
)
def test_tasks_without_cells_report_no_cells(
    devices: slice, models: slice, tasks: set[str]
) -> None:
    table, traits = synthetic(devices=8, models=24)
    cut = split_table(
        table, table.models[:REFERENCES], table.devices[devices], table.models[models]
    )

    document = evaluate_table(cut, traits)

    assert {task for task in ("P1", "P2", "P3") if document[task]["cells"]} == tasks


def test_observations_improve_the_remaining_predictions() -> None:
    table, _ = synthetic(noise=0.001)
    cut = split_table(table, table.models[:1], table.devices[-5:], ())

    steps = observation_curve(cut, None, 5)

    assert [step["observations"] for step in steps] == [0, 1, 2, 5]
    first, last = steps[0]["P1"], steps[-1]["P1"]
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    assert first["cells"] == last["cells"] == 5 * (40 - 1 - 5)
    assert last["mean"] < 0.3 * first["mean"]


def test_proposed_models_are_more_informative_than_random_ones() -> None:
    table, _ = synthetic()
    cut = split_table(table, table.models[:1], table.devices[-5:], ())
    chosen = models_to_run_first(cut, 4, references=False)

    def error(references: list[str]) -> float:
        mine = split_table(table, references, table.devices[-5:], ())
        return wrong(mine, predict_table(mine).middle, "P1")

    drawn = [np.random.default_rng(seed).permutation(40)[:4] for seed in range(5)]
    others = [error([table.models[i] for i in split]) for split in drawn]
    assert len(set(chosen)) == 4
    assert error([table.models[i] for i in chosen]) < np.mean(others)


def validated(devices: int, seed: int = 0) -> tuple[ConformalScores, np.ndarray]:
    """Scores whose size goes with the signs of their device."""
    draw = np.random.default_rng(seed)
    strange = np.exp(draw.normal(0.5, 0.4, devices))
    scores = np.abs(draw.normal(0.0, 1.0, (devices, 40))) * strange[:, None]
    return ConformalScores(scores), device_signs(strange, 0.05 * strange)


def test_a_dissimilar_device_has_wider_intervals() -> None:
    scores, past = validated(30)
    new = device_signs(np.array([1.0, 2.0, 4.0]), np.array([0.05, 0.1, 0.2]))

    result = new_device_margins(scores, past, new)

    assert (np.diff(result) > 0).all()
    assert result[2] > 2 * result[0]


def test_intervals_cover_nearly_every_new_device() -> None:
    scores, past = validated(60)
    later, new = validated(60, seed=1)

    covered = (later.values <= new_device_margins(scores, past, new)[:, None]).mean(axis=1)

    assert covered.mean() > 0.93
    assert (covered >= 0.85).mean() >= 0.95


def test_margins_of_one_validated_device_are_unchanged() -> None:
    scores, past = validated(1)

    result = new_device_margins(scores, past, past)

    np.testing.assert_allclose(result, scores.each())
