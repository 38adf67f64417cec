"""Figures of a cross-validation, in per cent, and the factors that make its intervals hold."""

from collections.abc import Sequence

import numpy as np

from acesniper.predictor.accuracy import PredictionOutcome, accuracy
from acesniper.predictor.pcn.dataset import AtlasDataset
from acesniper.predictor.pcn.evaluation.cross_validation import HiddenFold

COVERAGE = 0.9
COVERED_DEVICES = 0.9
"""The share of hidden devices for which an interval must have sufficed."""


def interval_factors(
    data: AtlasDataset,
    folds: Sequence[HiddenFold],
    count: int,
    level: float = COVERAGE,
    side: str = "both",
) -> np.ndarray:
    """For each hidden device the quantile of mistake / deviation that covers `level`, (devices,).

    `side` is "both" for |mistake|, or "above" where what was measured lies above the prediction.
    """
    found = []
    for fold in folds:
        true = data.log_s[np.ix_(fold.models, fold.devices)]
        scores = (true - fold.mean[count]) / fold.deviation[count]
        for column in (np.abs(scores) if side == "both" else scores).T:
            own = column[np.isfinite(column)]
            share = min(level * (1 + 1 / max(len(own), 1)), 1.0)
            found.append(float(np.quantile(own, share)) if len(own) else np.nan)
    return np.array(found)


def conformal_factor(per_device: np.ndarray) -> float:
    """One factor for a new device: what sufficed for WORST of the devices that were hidden.

    Split-conformal over devices, not over cells (Vovk et al., 2005): the worst device counts.
    """
    return float(np.nanquantile(per_device, COVERED_DEVICES, method="higher"))


def split_accuracy(data: AtlasDataset, folds: Sequence[HiddenFold], count: int) -> dict[str, float]:
    """All figures over the hidden cells, those of the worst device, and the noise floor."""
    whole = split_outcome(data, folds, count)
    rows = [accuracy(whole.device(row)) for row in range(len(whole.measured))]
    rows = [row for row in rows if row["cells"]]
    return {
        **accuracy(whole),
        "worst_device_mean": max(row["mean"] for row in rows),
        "worst_device_coverage90": min(row["coverage90"] for row in rows),
        "noise_floor": noise_floor(data),
    }


def noise_floor(data: AtlasDataset) -> float:
    """The mean over the platforms that were measured twice, per cent."""
    known = data.floor[np.isfinite(data.floor)]
    return 100 * float(known.mean()) if len(known) else float("nan")


def split_outcome(data: AtlasDataset, folds: Sequence[HiddenFold], count: int) -> PredictionOutcome:
    """The hidden cells (devices in the order of the folds, models of the dataset), log seconds.

    The interval of each device comes from the mistakes on the devices of all other folds.
    """
    per_device = interval_factors(data, folds, count)
    owners = np.array([turn for turn, fold in enumerate(folds) for _ in fold.devices])
    parts = [
        _fold_outcome(data, fold, count, conformal_factor(per_device[owners != turn]))
        for turn, fold in enumerate(folds)
    ]
    names = ("measured", "predicted", "low", "high", "wanted")
    return PredictionOutcome(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in names)
    )


def _fold_outcome(
    data: AtlasDataset, fold: HiddenFold, count: int, factor: float
) -> PredictionOutcome:
    """The cells of a fold, each array of shape (devices, models of the dataset), log seconds."""
    shape = (len(fold.devices), len(data.names))
    measured, mean, low, high = (np.full(shape, np.nan) for _ in range(4))
    true = data.log_s[np.ix_(fold.models, fold.devices)].T
    half = factor * fold.deviation[count].T
    measured[:, fold.models], mean[:, fold.models] = true, fold.mean[count].T
    low[:, fold.models] = fold.mean[count].T - half
    high[:, fold.models] = fold.mean[count].T + half
    return PredictionOutcome(measured, mean, low, high, np.isfinite(measured))
