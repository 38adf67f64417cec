"""Accuracy of table predictions per task and device, the effect of observations, and baselines."""

from collections.abc import Sequence

import numpy as np

from acesniper.predictor.accuracy import PredictionOutcome, accuracy
from acesniper.predictor.gaussian import conditional_weights
from acesniper.predictor.tables.device_transfer import choose_models, impute
from acesniper.predictor.tables.measurements import TASKS, TableSplit, with_observed
from acesniper.predictor.tables.operators import ModelTraits
from acesniper.predictor.tables.predict import TablePrediction, known_block, predict_table

Document = dict[str, dict[str, object]]


def evaluate_table(split: TableSplit, traits: Sequence[ModelTraits] | None) -> Document:
    """Predict and judge: `P1`, `P2`, `P3` over all devices, and `devices` one by one, in per cent.

    Latencies and spans are ln ms inside; every figure here is in per cent.
    """
    return prediction_accuracy(split, predict_table(split, traits))


def prediction_accuracy(split: TableSplit, prediction: TablePrediction) -> Document:
    """The figures of a prediction; a task without cells has `cells` 0."""
    outcomes = {task: task_outcome(split, prediction, task) for task in TASKS}
    document: Document = {
        task: dict[str, object](with_worst_device(outcome)) for task, outcome in outcomes.items()
    }
    devices: dict[str, object] = {}
    for row, name in enumerate(split.table.devices):
        shown = {t: accuracy(o.device(row)) for t, o in outcomes.items() if o.wanted[row].any()}
        if shown:
            devices[name] = shown
    return {**document, "devices": devices}


def task_outcome(split: TableSplit, prediction: TablePrediction, task: str) -> PredictionOutcome:
    """The cells of one task that were predicted."""
    wanted = split.wanted(task) & np.isfinite(prediction.middle)
    return PredictionOutcome(
        split.table.log_ms, prediction.middle, prediction.low, prediction.high, wanted
    )


def with_worst_device(whole: PredictionOutcome) -> dict[str, float]:
    """All figures, and those of the worst device."""
    rows = [accuracy(whole.device(int(i))) for i in np.flatnonzero(whole.wanted.any(axis=1))]
    if not rows:
        return accuracy(whole)
    worst = max(row["mean"] for row in rows)
    least = min(row["coverage90"] for row in rows)
    return {**accuracy(whole), "worst_device_mean": worst, "worst_device_coverage90": least}


OBSERVATION_STEPS = (0, 1, 2, 5, 10, 20, 50, 100)


def models_to_run_first(split: TableSplit, count: int, *, references: bool = True) -> list[int]:
    """The known models to run first on a new device, as columns of the table.

    With `references` they come after these, else in place of them.
    """
    known = known_block(split)
    order = choose_models(impute(known.log_ms), count, known.columns if references else ())
    return [int(known.models[column]) for column in order]


def observation_curve(
    split: TableSplit, traits: Sequence[ModelTraits] | None, most: int
) -> list[dict[str, int | dict[str, float]]]:
    """The figures after more observations on each new device, in addition to the references.

    The observed models are those to run first; every step is judged on the cells that even the
    last one leaves unknown. So that there are some, no more than half of the models are observed
    that the references leave.
    """
    left = int((~split.new_model).sum()) - len(split.references)
    order = models_to_run_first(split, min(most, left // 2))
    last = with_observed(split, order)
    steps = [step for step in OBSERVATION_STEPS if step < len(order)] + [len(order)]
    return [
        {"observations": step, **_step_figures(split, last, traits, order[:step])} for step in steps
    ]


def _step_figures(
    split: TableSplit, last: TableSplit, traits: Sequence[ModelTraits] | None, shown: Sequence[int]
) -> dict[str, dict[str, float]]:
    found = predict_table(with_observed(split, shown), traits)
    spans = (split.table.log_ms, found.middle, found.low, found.high)
    there = np.isfinite(found.middle)
    return {
        t: with_worst_device(PredictionOutcome(*spans, last.wanted(t) & there))
        for t in TASKS
        if t != "P2"
    }


def by_ratio(known: np.ndarray, readings: np.ndarray, columns: list[int]) -> np.ndarray:
    """The median device, scaled by the references. ln ms (new devices, models)."""
    shape = np.median(known - known[:, columns].mean(axis=1)[:, None], axis=0)
    return np.asarray(readings.mean(axis=1)[:, None] + shape)


def by_nearest(known: np.ndarray, readings: np.ndarray, columns: list[int]) -> np.ndarray:
    """The known device with the most constant ratio over the references, scaled by it."""
    apart = readings[:, None] - known[None][:, :, columns]
    best = apart.std(axis=2).argmin(axis=1)
    return np.asarray(known[best] + apart[np.arange(len(best)), best].mean(axis=1)[:, None])


def by_gaussian(
    known: np.ndarray, readings: np.ndarray, columns: list[int], noise: float = 0.002
) -> np.ndarray:
    """The joint Gaussian of the models over known devices, conditioned on the references."""
    mean = known.mean(axis=0)
    covariance = (known - mean).T @ (known - mean)[:, columns] / len(known)
    inner = covariance[columns] + noise * np.eye(len(columns))
    return np.asarray(mean + (readings - mean[columns]) @ conditional_weights(inner, covariance))


BASELINES = {"ratio": by_ratio, "nearest": by_nearest, "gaussian": by_gaussian}


def by_work(
    log_ms: np.ndarray, traits: Sequence[ModelTraits], known: np.ndarray, new: np.ndarray
) -> np.ndarray:
    """A line per device through ln of all arithmetic; ln ms (devices, new models).

    `log_ms` is (devices, known models). Where no arithmetic is stated, the device's mean.
    """
    work = np.array([np.log(_work(model) + 1.0) for model in traits])
    x = work[known] - work[known].mean()
    slope = (log_ms - log_ms.mean(axis=1)[:, None]) @ x / (x @ x + 1e-9)
    asked = work[new] - work[known].mean()
    return np.asarray(log_ms.mean(axis=1)[:, None] + slope[:, None] * asked)


def _work(traits: ModelTraits) -> float:
    listed = sum(operator.count * operator.sizes[0] for operator in traits.operators)
    return listed or traits.values.get("flops", 0.0) or 1e9 * traits.values.get("gmacs", 0.0)
