"""Fill the gaps of a table of known devices, so that linear algebra can be done on it.

Level and shape first (medians of rows and columns), then a low-rank completion with shrunk singular
values (soft-impute: Mazumder, Hastie and Tibshirani, JMLR 2010).
"""

import numpy as np

RANK = 6
IMPUTE_SWEEPS = 30


def impute(log_ms: np.ndarray) -> np.ndarray:
    """The matrix (devices, models), ln ms, with every NaN replaced by an estimate."""
    gaps = np.isnan(log_ms)
    if not gaps.any():
        return log_ms
    start = _row_and_column_levels(log_ms)
    found = np.where(gaps, start, log_ms)
    for _ in range(IMPUTE_SWEEPS):
        mean = found.mean(axis=0)
        left, values, right = np.linalg.svd(found - mean, full_matrices=False)
        values = np.maximum(values - 0.5 * np.median(values), 0.0)
        values[RANK:] = 0.0
        found = np.where(gaps, (left * values) @ right + mean, log_ms)
    return np.asarray(found)


def _row_and_column_levels(log_ms: np.ndarray) -> np.ndarray:
    """A level per device plus a level per model, by alternating medians."""
    rows, columns = np.zeros(log_ms.shape[0]), np.zeros(log_ms.shape[1])
    for _ in range(10):
        columns = _median(log_ms - rows[:, None], 0)
        rows = _median(log_ms - columns, 1)
    return np.asarray(rows[:, None] + columns)


def _median(values: np.ndarray, axis: int) -> np.ndarray:
    """Medians without the gaps; where there are only gaps, the median of the other medians."""
    lines = values.T if axis == 0 else values
    found = [
        np.median(line[np.isfinite(line)]) if np.isfinite(line).any() else np.nan for line in lines
    ]
    medians = np.array(found)
    there = np.isfinite(medians)
    return np.where(there, medians, np.median(medians[there]) if there.any() else 0.0)
