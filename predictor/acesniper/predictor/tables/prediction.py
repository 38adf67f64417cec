"""Predict every held-out cell of a split, with intervals, from the cells that are known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.predictor.tables.completion import complete
from acesniper.predictor.tables.extension import Member, extend, tuned
from acesniper.predictor.tables.families import folds, model_family
from acesniper.predictor.tables.imputation import filled
from acesniper.predictor.tables.intervals import Scores, margin, own_margin
from acesniper.predictor.tables.similarity import Described, describe
from acesniper.predictor.tables.split import Split
from acesniper.predictor.tables.table import group
from acesniper.predictor.tables.traits import Traits

STEPS = 10
"""Weights of the members are tried in tenths."""

BLIND = float(np.log(2.0))
"""The half width where a single known device leaves nothing to rehearse: a factor of two."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """ln ms of shape (devices, models): the middle, and the ends of the 90 % interval."""

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """The part of a split that a method may see: known devices and models, gaps filled."""

    devices: np.ndarray
    models: np.ndarray
    log_ms: np.ndarray
    measured: np.ndarray


def predict(split: Split, traits: Sequence[Traits] | None = None) -> Prediction:
    """Fit on what is known and predict every cell; without traits only known models.

    Only `split.known` is read, never `split.table.log_ms`.
    """
    devices, models = np.flatnonzero(~split.new_device), np.flatnonzero(~split.new_model)
    block = split.known[np.ix_(devices, models)]
    known = _Known(devices, models, filled(block), np.isfinite(block))
    middle, margins = np.full_like(split.known, np.nan), np.full_like(split.known, np.nan)
    new_devices = np.flatnonzero(split.new_device)
    middle[np.ix_(devices, models)], margins[np.ix_(devices, models)] = known.log_ms, 0.0
    rehearsed, unlike = _rehearsed(split, known)
    found, strange = _completed(split, known, devices, new_devices)
    middle[np.ix_(new_devices, models)] = found
    margins[np.ix_(new_devices, models)] = _margin_p1(split, known, rehearsed, unlike, strange)
    if traits is not None and split.new_model.any():
        described = describe(split.table.models, traits)
        everyone = np.r_[devices, new_devices]
        found, wide = _extended(
            split, known, described, rehearsed, middle[np.ix_(everyone, models)]
        )
        new_models = np.flatnonzero(split.new_model)
        middle[np.ix_(everyone, new_models)], margins[np.ix_(everyone, new_models)] = found, wide
    return Prediction(middle, middle - margins, middle + margins)


def _completed(
    split: Split, known: _Known, fit: np.ndarray, ask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """P1 for the devices `ask` from those in `fit`: ln ms (ask, known models), strangeness."""
    place = {int(m): i for i, m in enumerate(known.models)}
    columns = [place[model] for model in split.references]
    rows = np.searchsorted(known.devices, fit)
    readings = split.known[np.ix_(ask, np.array(split.references, dtype=int))]
    return complete(known.log_ms[rows], readings, columns)


def _groups(split: Split, known: _Known) -> list[str]:
    return [group(split.table.devices[i]) for i in known.devices]


def _rehearsed(split: Split, known: _Known) -> tuple[np.ndarray, np.ndarray]:
    """P1 for each known device as if its group were new, and its strangeness then."""
    found, strange = known.log_ms.copy(), np.ones(len(known.devices))
    for fold in folds(_groups(split, known)):
        if split.references and not fold.all():
            fit, ask = known.devices[~fold], known.devices[fold]
            found[fold], strange[fold] = _completed(split, known, fit, ask)
    return found, strange


def _margin_p1(
    split: Split, known: _Known, rehearsed: np.ndarray, unlike: np.ndarray, strange: np.ndarray
) -> np.ndarray:
    """Half widths (new devices, known models) from the mistakes made on one's own devices."""
    if len(known.devices) < 2:
        return np.full((len(strange), len(known.models)), BLIND)
    wrong = np.abs(rehearsed - known.log_ms) / unlike[:, None]
    wrong = np.where(known.measured, wrong, np.nan)
    usual = max(float(np.nanmean(wrong**2)), 1e-8)
    counts = known.measured.sum(axis=0)
    per_model = np.sqrt((np.nansum(wrong**2, axis=0) + 3 * usual) / (counts + 3))
    factor = margin(Scores(wrong / per_model), _groups(split, known))
    return np.asarray(factor * strange[:, None] * per_model)


def _extended(
    split: Split, known: _Known, models: Described, rehearsed: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """P2 and P3: middle and half width (known then new devices, new models)."""
    count = len(known.devices)
    members = tuned(models, known.log_ms, known.models)
    tried, spread = _tried(split, known, models, members, np.r_[known.log_ms, rehearsed])
    weights = _weights(tried[:, :count], known)
    mixed = np.tensordot(weights, tried, 1)
    new = np.flatnonzero(split.new_model)
    each = [extend(models, rows, known.models, new, member) for member in members]
    found = np.tensordot(weights, np.array([mean for mean, _ in each]), 1)
    expected = weights @ np.array([deviation for _, deviation in each])
    expected = np.clip(expected, *np.quantile(weights @ spread, (0.1, 1.0)))
    scale = weights @ spread
    truth, seen = known.log_ms, known.measured
    scores = [
        np.where(seen, np.abs(part - truth) / scale, np.nan)
        for part in (mixed[:count], mixed[count:])
    ]
    factors = np.r_[
        own_margin(Scores(scores[0])),
        np.full(len(rows) - count, margin(Scores(scores[1]), _groups(split, known))),
    ]
    return found, factors[:, None] * expected[None]


def _tried(
    split: Split, known: _Known, models: Described, members: list[Member], rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each member's predictions of the known models as if their families were new.

    Shapes (members, rows, known models) and (members, known models).
    """
    middle = np.zeros((len(members), *rows.shape))
    spread = np.zeros((len(members), rows.shape[1]))
    for fold in folds([model_family(split.table.models[i]) for i in known.models]):
        fit, ask = known.models[~fold], known.models[fold]
        for i, member in enumerate(members):
            middle[i][:, fold], spread[i][fold] = extend(models, rows[:, ~fold], fit, ask, member)
    return middle, spread


def _weights(tried: np.ndarray, known: _Known) -> np.ndarray:
    """The weights (members,), in tenths, of the mean with the least error."""
    best, least = np.ones(len(tried)) / len(tried), np.inf
    for weights in _simplex(len(tried), STEPS):
        share = np.array(weights) / STEPS
        wrong = np.abs(np.tensordot(share, tried, 1) - known.log_ms)[known.measured]
        error = float(np.minimum(np.expm1(np.minimum(wrong, 3.0)), 1.0).mean())
        if error < least:
            best, least = share, error
    return best


def _simplex(parts: int, total: int) -> list[tuple[int, ...]]:
    """All ways to write `total` as a sum of so many whole numbers."""
    if parts == 1:
        return [(total,)]
    return [(i, *rest) for i in range(total + 1) for rest in _simplex(parts - 1, total - i)]
