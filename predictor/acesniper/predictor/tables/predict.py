"""Predict every held-out cell of a table, with 90 % intervals.

Half widths are split-conformal: a score is an error over the deviation expected there, and the
pooled quantile covers the average device. A device unlike the others gets a larger factor, from a
line through the past devices' quantiles over two signs: how unlike the known devices it is, and how
far its readings are from what its other readings imply. What the line leaves unexplained is added
for a high share of devices (coverage within groups: Vovk et al., "Algorithmic Learning in a Random
World", 2005).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.predictor.tables.device_transfer import TransferResult, impute, transfer
from acesniper.predictor.tables.measurements import TableSplit, device_group, model_family
from acesniper.predictor.tables.model_transfer import (
    expected_deviation,
    extend,
    stacking_weights,
    weighted_mean,
)
from acesniper.predictor.tables.operators import ModelTraits
from acesniper.predictor.tables.validation import (
    FeatureModels,
    FeaturePredictions,
    KnownBlock,
    blend,
    fit_features,
    predict_from_features,
    validate_devices,
)

DEFAULT_HALF_WIDTH = float(np.log(2.0))
"""The half width where a single known device leaves nothing to rehearse: a factor of two."""


@dataclass(frozen=True, slots=True, eq=False)
class TablePrediction:
    """ln ms of shape (devices, models): the middle, and the ends of the 90 % interval."""

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def predict_table(
    split: TableSplit, traits: Sequence[ModelTraits] | None = None
) -> TablePrediction:
    """Fit on what is known and predict every cell; without traits only known models.

    Only `split.known` is read, never `split.table.log_ms`.
    """
    known = known_block(split)
    models = None if traits is None else fit_features(split.table.models, traits, known)
    whole, alike = _without_gaps(known, models)
    new = np.flatnonzero(split.new_device)
    past = validate_devices(known, whole, alike)
    readings = split.known[np.ix_(new, np.array(split.references, dtype=int))]
    found = transfer(whole, readings, known.columns, alike)
    shared = None if models is None else predict_from_features(known, models, past, found)
    if shared is not None:
        past, found = blend(known, shared, past, found)
    middle, margin = np.full_like(split.known, np.nan), np.full_like(split.known, np.nan)
    middle[np.ix_(known.devices, known.models)] = whole
    margin[np.ix_(known.devices, known.models)] = 0.0
    middle[np.ix_(new, known.models)] = found.middle
    margin[np.ix_(new, known.models)] = _margin_p1(known, past, found)
    if models is not None and shared is not None and split.new_model.any():
        everyone, asked = np.r_[known.devices, new], np.flatnonzero(split.new_model)
        cells = np.ix_(everyone, asked)
        middle[cells], margin[cells] = _new_models(known, models, shared, asked)
    return TablePrediction(middle, middle - margin, middle + margin)


def known_block(split: TableSplit) -> KnownBlock:
    """What of a split is known; a device without any known latency teaches nothing."""
    models = np.flatnonzero(~split.new_model)
    there = np.isfinite(split.known[:, models]).any(axis=1)
    devices = np.flatnonzero(~split.new_device & there)
    place = {int(model): i for i, model in enumerate(models)}
    return KnownBlock(
        devices,
        models,
        split.known[np.ix_(devices, models)],
        [place[model] for model in split.references],
        [device_group(split.table.devices[i]) for i in devices],
        [model_family(split.table.models[i]) for i in models],
    )


def _without_gaps(
    known: KnownBlock, models: FeatureModels | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The known block with its gaps filled, and how the models' features make them vary together.

    Where features predict a model's latency, the other devices fill in only the residual.
    """
    if models is None:
        return impute(known.log_ms), None
    alike = models.members[-1].covariance(known.models, known.columns)
    if np.isfinite(known.log_ms).all():
        return known.log_ms, alike
    expected = impute(known.log_ms)
    guess = weighted_mean(
        models.tried, stacking_weights(models.tried, known.log_ms, len(known.log_ms))
    )
    expected = np.where(np.isfinite(guess), guess, expected)
    whole = expected + impute(known.log_ms - expected)
    return np.where(np.isfinite(known.log_ms), known.log_ms, whole), alike


def _margin_p1(known: KnownBlock, past: TransferResult, found: TransferResult) -> np.ndarray:
    """Half widths (new devices, known models) from the mistakes made on one's own devices."""
    if len(known.devices) < 2:
        return np.full(found.middle.shape, DEFAULT_HALF_WIDTH)
    wrong = np.abs(past.middle - known.log_ms) / past.strange[:, None]
    wrong[:, known.columns] = np.nan
    usual = max(float(np.nanmean(wrong**2)) if np.isfinite(wrong).any() else 0.0, 1e-8)
    counts = np.isfinite(wrong).sum(axis=0)
    per_model = np.sqrt((np.nansum(wrong**2, axis=0) + 3 * usual) / (counts + 3))
    scores = ConformalScores(
        np.abs(past.middle - np.where(np.isnan(wrong), np.nan, known.log_ms)) / per_model
    )
    factors = new_device_margins(scores, *_signs(past, found))
    return np.asarray(factors[:, None] * per_model)


def _signs(past: TransferResult, found: TransferResult) -> tuple[np.ndarray, np.ndarray]:
    return device_signs(past.strange, past.disagreement), device_signs(
        found.strange, found.disagreement
    )


def _new_models(
    known: KnownBlock, models: FeatureModels, shared: FeaturePredictions, asked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """P2 and P3: middle and half width (known then new devices, new models)."""
    count, past, found = len(known.devices), shared.past, shared.found
    rows = np.r_[known.log_ms, found.middle]
    middles, spreads = extend(models.described, rows, known.models, asked, models.members)
    own = np.r_[np.arange(count), np.arange(2 * count, shared.share.shape[1])]
    expected, scale = expected_deviation(middles, spreads), shared.scale
    expected = np.clip(expected, np.nanquantile(scale, 0.1), np.nanmax(scale))
    wrong = np.abs(shared.guess[: 2 * count] - np.tile(known.log_ms, (2, 1)))
    score = wrong / scale[: 2 * count]
    factors = np.r_[
        known_device_margins(ConformalScores(score[:count])),
        new_device_margins(ConformalScores(score[count:]), *_signs(past, found)),
    ]
    return weighted_mean(middles, shared.share[:, own]), factors[:, None] * expected


TARGET_COVERAGE = 0.95
"""More than 90 %, as new models and devices are less like the known than these like each other."""

TARGET_DEVICES = 0.98
"""The share of past devices that an interval should have sufficed for."""

QUANTILE_SHRINKAGE = 10.0
"""How many scores the others' quantile weighs in a device's own."""

PRIOR_SLOPES = np.array([0.7, 0.3])
"""What is expected of the signs of a device before any was rehearsed: see `signs`."""

PRIOR_DEVICES = 10.0
"""How many devices, of signs one unit from the mean, the expected slopes are worth."""


@dataclass(frozen=True, slots=True, eq=False)
class ConformalScores:
    """Scores (devices, models); NaN where nothing was measured."""

    values: np.ndarray

    def pooled(self) -> float:
        """The quantile over all cells, with the correction for their number."""
        found = self.values[np.isfinite(self.values)]
        if not len(found):
            return 1.0
        return float(np.quantile(found, min(TARGET_COVERAGE * (1 + 1 / len(found)), 1.0)))

    def each(self) -> np.ndarray:
        """The quantile of each device, drawn towards the pooled one; shape (devices,)."""
        pooled = self.pooled()
        found = []
        for row in self.values:
            own = row[np.isfinite(row)]
            quantile = float(np.quantile(own, TARGET_COVERAGE)) if len(own) else pooled
            found.append(
                (len(own) * quantile + QUANTILE_SHRINKAGE * pooled)
                / (len(own) + QUANTILE_SHRINKAGE)
            )
        return np.array(found)


def device_signs(strange: np.ndarray, disagreement: np.ndarray) -> np.ndarray:
    """Signs, known in advance, of how large errors on a device will be: (devices, 2)."""
    return np.asarray(np.log(np.stack([strange, np.maximum(disagreement, 1e-3)], axis=1)))


def new_device_margins(scores: ConformalScores, past: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The factors for devices that were never seen, of signs `new`: (new devices,).

    `past` are the signs of the devices of the scores, when they were rehearsed.
    """
    quantiles = np.log(np.maximum(scores.each(), 1e-9))
    middle, centre = quantiles.mean(), past.mean(axis=0)
    apart = past - centre
    left = quantiles - middle - apart @ PRIOR_SLOPES
    slopes = PRIOR_SLOPES + np.linalg.solve(
        apart.T @ apart + PRIOR_DEVICES * np.eye(2), apart.T @ left
    )
    allowed = np.quantile(quantiles - middle - apart @ slopes, TARGET_DEVICES, method="higher")
    return np.asarray(np.exp(middle + (new - centre) @ slopes + max(float(allowed), 0.0)))


def known_device_margins(scores: ConformalScores) -> np.ndarray:
    """The factors for the devices of the scores themselves: (devices,)."""
    return np.asarray(np.maximum(scores.each(), scores.pooled()))
