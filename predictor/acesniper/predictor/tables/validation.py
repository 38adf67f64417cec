"""Estimate errors by predicting known cells as if they were new.

Whole groups of devices and whole families of models are held out in turn; the references stay
known. The same predictions from features also smooth the noise of known devices in P1, as far as
that would have reduced the errors on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from acesniper.predictor.tables.device_transfer import TransferResult, transfer
from acesniper.predictor.tables.measurements import family_folds
from acesniper.predictor.tables.model_kernel import ModelVectors, model_vectors
from acesniper.predictor.tables.model_transfer import (
    ExtensionMember,
    expected_deviation,
    extend,
    stacking_weights,
    tune,
    weighted_mean,
)
from acesniper.predictor.tables.operators import ModelTraits

DEVICE_FOLDS = 10
"""How many times some groups of devices are held out, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownBlock:
    """The part of a split that a method may see.

    `log_ms` (devices, models) is ln ms of known devices and models, NaN where nothing was
    measured; `devices` and `models` their indices in the table, `columns` the references among
    the models; `groups` and `families` name what is new together.
    """

    devices: np.ndarray
    models: np.ndarray
    log_ms: np.ndarray
    columns: list[int]
    groups: list[str]
    families: list[str]


def validate_devices(
    known: KnownBlock, filled: np.ndarray, alike: np.ndarray | None
) -> TransferResult:
    """P1 for each known device as if its group were new; `filled` is without gaps."""
    middle, count = filled.copy(), len(filled)
    strange, disagreement = np.ones(count), np.ones(count)
    for fold in family_folds(known.groups, DEVICE_FOLDS):
        if known.columns and not fold.all():
            readings = known.log_ms[fold][:, known.columns]
            found = transfer(filled[~fold], readings, known.columns, alike)
            middle[fold], strange[fold] = found.middle, found.strange
            disagreement[fold] = found.disagreement
    return TransferResult(middle, strange, disagreement)


def validate_models(
    known: KnownBlock, models: ModelVectors, members: list[ExtensionMember], rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """P2 by each member for the known models as if their families were new, and its deviations.

    `rows` (rows, known models) is ln ms, NaN where unknown. Both results are (members, rows, known
    models), NaN for the references.
    """
    middle = np.full((len(members), *rows.shape), np.nan)
    spread = np.full((len(members), *rows.shape), np.nan)
    stay = np.zeros(rows.shape[1], dtype=bool)
    stay[known.columns] = True
    for fold in family_folds(known.families):
        ask = np.flatnonzero(fold & ~stay) if stay.any() else np.flatnonzero(fold)
        fit = np.setdiff1d(np.arange(rows.shape[1]), ask)
        if len(ask) and len(fit):
            shown, new = known.models[fit], known.models[ask]
            found = extend(models, rows[:, fit], shown, new, members)
            middle[:, :, ask], spread[:, :, ask] = found
    return middle, spread


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
