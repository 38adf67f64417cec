"""Learn from one's own mistakes: predict what is known as if it were new.

Whole groups of devices and whole families of models are held out in turn, as in earnest. The
references stay known, as they do in earnest.
"""

from dataclasses import dataclass

import numpy as np

from acesniper.predictor.tables.device_transfer import TransferResult, transfer
from acesniper.predictor.tables.measurements import family_folds
from acesniper.predictor.tables.model_kernel import ModelVectors
from acesniper.predictor.tables.model_transfer import ExtensionMember, extend

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
