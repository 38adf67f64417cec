"""How predictions for a new device improve with latencies observed on it."""

from collections.abc import Sequence

import numpy as np

from acesniper.predictor.accuracy import PredictionOutcome
from acesniper.predictor.tables.device_transfer import choose_models, impute
from acesniper.predictor.tables.evaluate import with_worst_device
from acesniper.predictor.tables.measurements import TASKS, TableSplit, with_observed
from acesniper.predictor.tables.operators import ModelTraits
from acesniper.predictor.tables.predict import known_block, predict_table

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
    """The figures after so many observations on each new device beside the references.

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
