"""Calibrate the widths of intervals from errors on hidden devices."""

from collections.abc import Callable, Sequence

import numpy as np

from acesniper.predictor.pcn.conformal import Band, Calibration
from acesniper.predictor.pcn.dataset import AtlasDataset
from acesniper.predictor.pcn.evaluation.cross_validation import (
    ALL_OBSERVED,
    HiddenFold,
    cross_validate,
)
from acesniper.predictor.pcn.train import TrainingSettings

COVERAGE = 0.9
COVERED_DEVICES = 0.9
"""The share of hidden devices for which an interval must have sufficed."""

MIN_FLOOR = 0.01
"""Two runs differ by at least so much, whatever the atlas says."""


def calibrate_intervals(
    data: AtlasDataset, settings: TrainingSettings, progress: Callable[[str], None] = lambda _: None
) -> Calibration:
    """Hide each runtime and each platform in turn, and see what would have sufficed.

    A new device is `far` like those of a hidden runtime, or `near` like those whose runtime was
    seen on another platform; halfway between the two lies the border.
    """
    runtimes = list(cross_validate(data, "runtime", (0,), settings, progress))
    platforms = list(cross_validate(data, "platform", (0, ALL_OBSERVED), settings, progress))
    near = _band(data, [(platforms, 0), (platforms, ALL_OBSERVED)])
    far = _band(data, [(runtimes, 0)])
    middle = np.median(_explained(platforms)) + np.median(_explained(runtimes))
    return Calibration(
        version="cross-validated",
        known_from=float(max(np.quantile(_explained(platforms), 0.9), middle / 2)),
        near_from=float(middle / 2),
        bands={"known": near, "near": near, "far": far},
    )


def _band(data: AtlasDataset, found: Sequence[tuple[Sequence[HiddenFold], int]]) -> Band:
    """Factors that sufficed in all of these."""

    def most(level: float, side: str) -> float:
        return max(
            conformal_factor(interval_factors(data, folds, count, level, side))
            for folds, count in found
        )

    floor = max(float(np.nanmedian(data.floor)) / np.sqrt(2), MIN_FLOOR)
    return Band(most(0.9, "both"), most(0.9, "above"), most(0.99, "above"), floor)


def _explained(folds: Sequence[HiddenFold]) -> np.ndarray:
    return np.concatenate([fold.explained for fold in folds])


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
