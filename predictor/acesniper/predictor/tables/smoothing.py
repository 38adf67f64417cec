"""What features say of known models, as if these were new; P1 takes some of it.

Known devices are measured with noise, which features smooth. How much of it is taken is found by
rehearsal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from acesniper.predictor.tables.device_transfer import TransferResult
from acesniper.predictor.tables.model_kernel import ModelVectors, model_vectors
from acesniper.predictor.tables.model_transfer import (
    ExtensionMember,
    expected_deviation,
    stacking_weights,
    tune,
    weighted_mean,
)
from acesniper.predictor.tables.operators import ModelTraits
from acesniper.predictor.tables.validation import KnownBlock, validate_models

BLENDS = 10
"""Parts of features in a prediction are tried in tenths."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureModels:
    """The models' vectors, the members tuned on them, and what these made of the known ones."""

    described: ModelVectors
    members: list[ExtensionMember]
    tried: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class FeaturePredictions:
    """What features say of known models as if these were new.

    `guess` and `scale` (rows, known models), ln ms, `share` (members, rows); the rows are the known
    devices, the same as if they were new (`past`), and the new devices (`found`).
    """

    guess: np.ndarray
    scale: np.ndarray
    share: np.ndarray
    past: TransferResult
    found: TransferResult


def fit_features(
    names: Sequence[str], traits: Sequence[ModelTraits], known: KnownBlock
) -> FeatureModels:
    """Describe all models, tune the members on the known ones, and rehearse these as if new."""
    described = model_vectors(names, traits)
    members = tune(described, known.log_ms, known.models)
    return FeatureModels(
        described, members, *validate_models(known, described, members, known.log_ms)
    )


def predict_from_features(
    known: KnownBlock, models: FeatureModels, past: TransferResult, found: TransferResult
) -> FeaturePredictions:
    """Rehearse new models on known devices, on these as if they were new, and on the new ones."""
    rows = np.r_[past.middle, found.middle]
    tried, spread = validate_models(known, models.described, models.members, rows)
    tried, spread = np.r_["1", models.tried, tried], np.r_["1", models.spread, spread]
    share = stacking_weights(tried, np.r_[known.log_ms, rows], len(known.devices))
    return FeaturePredictions(
        weighted_mean(tried, share), expected_deviation(tried, spread), share, past, found
    )


def blend(
    known: KnownBlock, shared: FeaturePredictions, past: TransferResult, found: TransferResult
) -> tuple[TransferResult, TransferResult]:
    """P1 with some of what the features say, as much as would have helped the known devices.

    Known devices are measured with noise, which features smooth.
    """
    count = len(known.devices)
    smooth = np.where(
        np.isfinite(shared.guess), shared.guess, np.r_[known.log_ms, past.middle, found.middle]
    )
    old, new = smooth[count : 2 * count], smooth[2 * count :]
    truth = known.log_ms.copy()
    truth[:, known.columns] = np.nan
    options = np.linspace(0.0, 1.0, BLENDS + 1)
    errors = [
        np.nansum(np.minimum(np.abs(past.middle + part * (old - past.middle) - truth), 1.0))
        for part in options
    ]
    part = options[int(np.argmin(errors))]
    return (
        replace(past, middle=past.middle + part * (old - past.middle)),
        replace(found, middle=found.middle + part * (new - found.middle)),
    )
