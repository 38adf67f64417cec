"""Accuracy report of the method on an atlas: figures for each split, next to simple methods.

    {"atlas": {...}, "splits": {SPLIT: {OBSERVATIONS: {METHOD: {"all", "devices", "families"}}}},
     "ablation": {PARTS: {SPLIT: {OBSERVATIONS: figures}}}}

Figures are in per cent. Observations are models that ran in addition to those of the probe.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acesniper.predictor.accuracy import PredictionOutcome, accuracy
from acesniper.predictor.pcn.dataset import AtlasDataset
from acesniper.predictor.pcn.evaluation.baselines import METHODS, baseline_folds
from acesniper.predictor.pcn.evaluation.calibrate import conformal_factor, interval_factors
from acesniper.predictor.pcn.evaluation.cross_validation import (
    ALL_OBSERVED,
    KNOWN_MODELS,
    HiddenFold,
    cross_validate,
)
from acesniper.predictor.pcn.train import TrainingSettings

OURS = "PCN"

CURVE = (0, 1, 2, 5, 10, 20, 50)
"""Numbers of observations at which the curve is drawn."""

ABLATION: Mapping[str, tuple[str, ...]] = {
    "physics": (),
    "+similarity": ("similarity",),
    "+gate": ("similarity", "gate"),
    "+residual": ("similarity", "residual", "gate"),
}
"""Parts in use, by the name of the row."""

ABLATED = (0, 10)
"""Observations at which parts are compared."""

Document = dict[str, Any]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class HiddenSplit:
    """What is hidden together, by `platform`, `runtime` or KNOWN (no family is), and what is shown.

    `observed`: all other networks have run on the device; `alone`: none, the probe speaks alone.
    """

    by: str
    observed: bool = False
    alone: bool = False

    def counts(self, curve: Sequence[int]) -> tuple[int, ...]:
        """The numbers of observations at which the split is judged."""
        if self.alone:
            return (0,)
        return (ALL_OBSERVED,) if self.observed else tuple(curve)


SPLITS: Mapping[str, HiddenSplit] = {
    "seen device": HiddenSplit("platform", observed=True),
    "known network, new device": HiddenSplit(KNOWN_MODELS, alone=True),
    "new device": HiddenSplit("platform"),
    "new runtime": HiddenSplit("runtime"),
}
"""Families are hidden in all but the one with known networks."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A dataset with the predictions of its hidden cells, by method and by what was hidden."""

    data: AtlasDataset
    settings: TrainingSettings
    curve: tuple[int, ...]
    folds: Mapping[str, Mapping[str, Sequence[HiddenFold]]]

    def outcome(self, split: str, count: int, method: str = OURS) -> PredictionOutcome:
        """The hidden cells of a split; the rows are `devices` of it."""
        return split_outcome(self.data, self.folds[method][SPLITS[split].by], count)

    def devices(self, split: str) -> list[str]:
        """The names of an outcome's rows."""
        folds = self.folds[OURS][SPLITS[split].by]
        return [str(self.data.platforms[row]) for fold in folds for row in fold.devices]


def curve(most: int) -> tuple[int, ...]:
    """The numbers of observations up to `most`, which is the last."""
    return (*(count for count in CURVE if count < most), most)


def run_trial(
    data: AtlasDataset,
    settings: TrainingSettings,
    observations: int = 20,
    progress: Progress = lambda _: None,
) -> Trial:
    """Hide every runtime and every platform in turn, and predict by every method."""
    counts = {
        "platform": (*curve(observations), ALL_OBSERVED),
        "runtime": curve(observations),
        KNOWN_MODELS: (0,),
    }
    folds: dict[str, dict[str, list[HiddenFold]]] = {
        OURS: {
            by: list(cross_validate(data, by, numbers, settings, progress))
            for by, numbers in counts.items()
        }
    }
    for name, method in METHODS.items():
        folds[name] = {
            by: list(baseline_folds(data, by, numbers, method, settings.seed))
            for by, numbers in counts.items()
        }
    return Trial(data, settings, curve(observations), folds)


def report(done: Trial) -> Document:
    """The document of a trial, without the ablation."""
    splits = {
        name: {
            label(count): {
                method: method_accuracy(done, name, count, method) for method in done.folds
            }
            for count in split.counts(done.curve)
        }
        for name, split in SPLITS.items()
    }
    return {"atlas": described(done.data), "splits": splits}


def method_accuracy(done: Trial, split: str, count: int, method: str) -> Document:
    """Figures of one method over all cells, by device and by family."""
    cells = done.outcome(split, count, method)
    devices = done.devices(split)
    return {
        "all": split_accuracy(done.data, done.folds[method][SPLITS[split].by], count),
        "devices": {name: accuracy(cells.device(row)) for row, name in enumerate(devices)},
        "families": dict(by_family(done.data, cells)),
    }


def by_family(
    data: AtlasDataset, cells: PredictionOutcome
) -> Iterator[tuple[str, dict[str, float]]]:
    """Figures of each family of networks that was hidden."""
    for family in np.unique(data.families[~data.reference]):
        wanted = cells.wanted & (data.families == family)
        if wanted.any():
            yield str(family), accuracy(replace(cells, wanted=wanted))


def ablation(done: Trial, progress: Progress = lambda _: None) -> Document:
    """The figures on new devices and runtimes with parts of the network left out.

    Each row is a network trained without the part.
    """
    counts = [count for count in ABLATED if count in done.curve]
    found: Document = {}
    for name, parts in ABLATION.items():
        fitted = replace(done.settings, parts=parts)
        for split in ("new device", "new runtime"):
            by = SPLITS[split].by
            folds = done.folds[OURS][by]
            if fitted != done.settings:
                named = _prefixed(progress, name)
                folds = list(cross_validate(done.data, by, counts, fitted, named))
            found.setdefault(name, {})[split] = {
                label(count): split_accuracy(done.data, folds, count) for count in counts
            }
    return found


def described(data: AtlasDataset) -> Document:
    """What the figures were found on."""
    own = ~data.reference
    return {
        "networks": int(own.sum()),
        "families": len(np.unique(data.families[own])),
        "platforms": len(data.platforms),
        "runtimes": len(np.unique(data.runtimes)),
        "latencies": int(np.isfinite(data.log_s[own]).sum()),
        "noise_floor": noise_floor(data),
        "floors": {
            str(name): 100 * float(floor)
            for name, floor in zip(data.platforms, data.floor, strict=True)
        },
    }


def label(count: int) -> str:
    """A number of observations as a key of the document."""
    return "all" if count == ALL_OBSERVED else str(count)


def finite(document: Document) -> Document:
    """The same document with None in place of what JSON has no number for."""
    return {
        key: finite(value) if isinstance(value, dict) else None if value != value else value
        for key, value in document.items()
    }


def _prefixed(progress: Progress, name: str) -> Progress:
    return lambda text: progress(f"{name}: {text}")


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
