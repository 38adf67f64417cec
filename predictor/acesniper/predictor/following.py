"""Let a table follow what tasks took, for predictors that do not learn by themselves.

On each device, log latency observed less predicted = shift + own + noise: a shift that all models
of the device share, and a part of each model's own. Both are drawn towards 0, as far as the
prediction was certain (best linear unbiased prediction: Henderson, Biometrics 31, 1975).
"""

from collections.abc import Sequence

import numpy as np

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.base import LatencyArrays, Observation, Observations

Z_90 = 1.645
"""Standard deviations to either end of a central 90 % interval."""


def corrected_table(
    table: LatencyArrays, models: Sequence[ModelFeatures], observed: Observations
) -> LatencyArrays:
    """The table with every column corrected by what was observed on its device."""
    if not any(observed):
        return table
    latency, spread = table.latency.copy(), table.spread.copy()
    rows: dict[str, int] = {}
    first = np.array([rows.setdefault(model.digest, row) for row, model in enumerate(models)], int)
    for column, made in enumerate(observed):
        known = [each for each in made if each.model.digest in rows]
        asked = np.array([rows[each.model.digest] for each in known], int)
        there = np.isfinite(latency[asked, column])
        if there.any():
            seen = [each for each, use in zip(known, there, strict=True) if use]
            _correct_column(latency[:, column], spread[:, column], asked[there], seen)
            latency[:, column], spread[:, column] = latency[first, column], spread[first, column]
    return LatencyArrays(latency, spread)


def _correct_column(
    latency: np.ndarray, spread: np.ndarray, rows: np.ndarray, seen: Sequence[Observation]
) -> None:
    """Correct one column in place."""
    noise = np.array([each.variance for each in seen])
    wrong = np.log([each.latency_s for each in seen]) - np.log(latency[rows])
    own = (spread[rows] / Z_90) ** 2
    weight = 1.0 / (own + noise)
    precision = 1.0 / max(each.shift for each in seen) ** 2 + weight.sum()
    shift = (weight * wrong).sum() / precision
    latency *= np.exp(shift)
    latency[rows] *= np.exp((wrong - shift) * own * weight)
    left = Z_90 * np.sqrt(own * noise * weight + (noise * weight) ** 2 / precision)
    spread[rows] = np.minimum(spread[rows], left)
