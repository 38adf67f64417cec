"""Judge a prediction: figures per task and per device, as a document for machines."""

from collections.abc import Sequence

import numpy as np

from acesniper.predictor.tables.metrics import Outcome, figures
from acesniper.predictor.tables.prediction import Prediction, predict
from acesniper.predictor.tables.split import TASKS, Split
from acesniper.predictor.tables.traits import Traits

Document = dict[str, dict[str, object]]


def evaluate(split: Split, traits: Sequence[Traits] | None) -> Document:
    """Predict and judge: `P1`, `P2`, `P3` over all devices, and `devices` one by one, in per cent.

    Latencies and spans are ln ms inside; every figure here is in per cent.
    """
    return judged(split, predict(split, traits))


def judged(split: Split, prediction: Prediction) -> Document:
    """The figures of a prediction; a task with no cell says so by `cells` 0."""
    outcomes = {task: outcome(split, prediction, task) for task in TASKS}
    document: Document = {task: dict[str, object](overall(each)) for task, each in outcomes.items()}
    devices: dict[str, object] = {}
    for row, name in enumerate(split.table.devices):
        shown = {t: figures(o.device(row)) for t, o in outcomes.items() if o.wanted[row].any()}
        if shown:
            devices[name] = shown
    return {**document, "devices": devices}


def outcome(split: Split, prediction: Prediction, task: str) -> Outcome:
    """The cells of one task; those nobody predicted do not count."""
    wanted = split.wanted(task) & np.isfinite(prediction.middle)
    return Outcome(split.table.log_ms, prediction.middle, prediction.low, prediction.high, wanted)


def overall(whole: Outcome) -> dict[str, float]:
    """All figures, and those of the worst device."""
    rows = [figures(whole.device(int(i))) for i in np.flatnonzero(whole.wanted.any(axis=1))]
    if not rows:
        return figures(whole)
    worst = max(row["mean"] for row in rows)
    least = min(row["coverage90"] for row in rows)
    return {**figures(whole), "worst_device_mean": worst, "worst_device_coverage90": least}
