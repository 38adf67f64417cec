"""How predictions for a new device improve with latencies observed on it."""

from collections.abc import Sequence

import numpy as np

from acesniper.predictor.tables.choice import choose
from acesniper.predictor.tables.evaluation import overall
from acesniper.predictor.tables.imputation import filled
from acesniper.predictor.tables.metrics import Outcome
from acesniper.predictor.tables.prediction import predict, seen
from acesniper.predictor.tables.split import TASKS, Split, observed
from acesniper.predictor.tables.traits import Traits

STEPS = (0, 1, 2, 5, 10, 20, 50, 100)


def run_first(split: Split, count: int, *, references: bool = True) -> list[int]:
    """The known models to run first on a new device, as columns of the table.

    With `references` they come after these, else in place of them.
    """
    known = seen(split)
    order = choose(filled(known.log_ms), count, known.columns if references else ())
    return [int(known.models[column]) for column in order]


def curve(
    split: Split, traits: Sequence[Traits] | None, most: int
) -> list[dict[str, int | dict[str, float]]]:
    """The figures after so many observations on each new device beside the references.

    The observed models are those to run first; every step is judged on the cells that even the
    last one leaves unknown. So that there are some, no more than half of the models are observed
    that the references leave.
    """
    left = int((~split.new_model).sum()) - len(split.references)
    order = run_first(split, min(most, left // 2))
    last = observed(split, order)
    steps = [step for step in STEPS if step < len(order)] + [len(order)]
    return [{"observations": step, **_figures(split, last, traits, order[:step])} for step in steps]


def _figures(
    split: Split, last: Split, traits: Sequence[Traits] | None, shown: Sequence[int]
) -> dict[str, dict[str, float]]:
    found = predict(observed(split, shown), traits)
    spans = (split.table.log_ms, found.middle, found.low, found.high)
    there = np.isfinite(found.middle)
    return {t: overall(Outcome(*spans, last.wanted(t) & there)) for t in TASKS if t != "P2"}
