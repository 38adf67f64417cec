"""Judge a prediction: figures per task and per device, as a document for machines."""

from collections.abc import Sequence

import numpy as np

from acesniper.predictor.accuracy import PredictionOutcome, accuracy
from acesniper.predictor.tables.measurements import TASKS, TableSplit
from acesniper.predictor.tables.operators import ModelTraits
from acesniper.predictor.tables.predict import TablePrediction, predict_table

Document = dict[str, dict[str, object]]


def evaluate_table(split: TableSplit, traits: Sequence[ModelTraits] | None) -> Document:
    """Predict and judge: `P1`, `P2`, `P3` over all devices, and `devices` one by one, in per cent.

    Latencies and spans are ln ms inside; every figure here is in per cent.
    """
    return prediction_accuracy(split, predict_table(split, traits))


def prediction_accuracy(split: TableSplit, prediction: TablePrediction) -> Document:
    """The figures of a prediction; a task with no cell says so by `cells` 0."""
    outcomes = {task: task_outcome(split, prediction, task) for task in TASKS}
    document: Document = {
        task: dict[str, object](with_worst_device(each)) for task, each in outcomes.items()
    }
    devices: dict[str, object] = {}
    for row, name in enumerate(split.table.devices):
        shown = {t: accuracy(o.device(row)) for t, o in outcomes.items() if o.wanted[row].any()}
        if shown:
            devices[name] = shown
    return {**document, "devices": devices}


def task_outcome(split: TableSplit, prediction: TablePrediction, task: str) -> PredictionOutcome:
    """The cells of one task; those nobody predicted do not count."""
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
