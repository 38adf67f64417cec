"""Which models to run first on a new device: those whose readings say most about the others.

Greedy reduction of the variance that is left over all models (Krause, Singh and Guestrin, JMLR
2008, on why greedy does), under the covariance over known devices. No latency of the new device is
needed, so the order can be told before anything is run.
"""

from collections.abc import Collection

import numpy as np

from acesniper.predictor.tables.device_transfer import LEVEL_VARIANCE, READING_NOISE


def choose_models(known: np.ndarray, count: int, taken: Collection[int] = ()) -> list[int]:
    """The columns of `known` (devices, models), without gaps, to run next, best first.

    `taken` are columns that were run already.
    """
    shape = known - known.mean(axis=1, keepdims=True)
    apart = shape - shape.mean(axis=0)
    left = apart.T @ apart / len(known) + LEVEL_VARIANCE
    for column in taken:
        left = _after_reading(left, column)
    chosen: list[int] = []
    for _ in range(min(count, known.shape[1] - len(taken))):
        gain = (left**2).sum(axis=0) / (np.diag(left) + READING_NOISE)
        gain[[*taken, *chosen]] = -np.inf
        chosen.append(int(gain.argmax()))
        left = _after_reading(left, chosen[-1])
    return chosen


def _after_reading(left: np.ndarray, column: int) -> np.ndarray:
    """The covariance once a reading of this column is known."""
    return np.asarray(
        left - np.outer(left[:, column], left[column]) / (left[column, column] + READING_NOISE)
    )
