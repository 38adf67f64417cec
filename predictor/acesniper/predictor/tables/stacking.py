"""Weights of the members of a mean, by their past mistakes (stacking: Wolpert, 1992)."""

import numpy as np

WEIGHT_STEPS = 8
"""Weights are tried in eighths."""

SHRINKAGE_CELLS = 60.0
"""How many cells the mistakes on all devices weigh in the choice for one."""


def stacking_weights(tried: np.ndarray, measured: np.ndarray, judges: int) -> np.ndarray:
    """The weights (members, devices) of the mean with the least error on each device.

    `tried` (members, devices, models) are ln ms as if the models were new, `measured` (devices,
    models) the truth with NaN where there is none. The first `judges` devices count for the others.
    """
    options = np.array(_simplex(len(tried), WEIGHT_STEPS)) / WEIGHT_STEPS
    error = np.array([_capped_error(np.tensordot(each, tried, 1), measured) for each in options])
    counts = np.isfinite(measured).sum(axis=1)
    total = error[:, :judges].sum(axis=1) / max(counts[:judges].sum(), 1)
    best = (error + SHRINKAGE_CELLS * total[:, None]).argmin(axis=0)
    return np.asarray(options[best].T)


def weighted_mean(tried: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The weighted mean of the members: (devices, models)."""
    return np.asarray(np.einsum("md,mdk->dk", share, tried))


def expected_deviation(tried: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The deviations to expect where members (members, devices, models) also disagree."""
    return np.asarray(np.sqrt((spread**2).mean(axis=0) + tried.var(axis=0)))


def _capped_error(guess: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """The sum of the errors per device, each at most 1."""
    wrong = np.expm1(np.minimum(np.abs(guess - measured), 1.0))
    return np.asarray(np.nansum(np.minimum(wrong, 1.0), axis=1))


def _simplex(parts: int, total: int) -> list[tuple[int, ...]]:
    """All ways to write `total` as a sum of so many whole numbers."""
    if parts == 1:
        return [(total,)]
    return [(i, *rest) for i in range(total + 1) for rest in _simplex(parts - 1, total - i)]
