"""What features say of known models, as if these were new; P1 takes some of it.

Known devices are measured with noise, which features smooth. How much of it is taken is found by
rehearsal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from acesniper.predictor.tables.completion import Completed
from acesniper.predictor.tables.extension import Member, tuned
from acesniper.predictor.tables.rehearsal import Known, rehearsed_models
from acesniper.predictor.tables.similarity import Described, describe
from acesniper.predictor.tables.stacking import doubt, mixed, weights
from acesniper.predictor.tables.traits import Traits

BLENDS = 10
"""Parts of features in a prediction are tried in tenths."""


@dataclass(frozen=True, slots=True, eq=False)
class Featured:
    """The models' vectors, the members tuned on them, and what these made of the known ones."""

    described: Described
    members: list[Member]
    tried: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsed:
    """What features say of known models as if these were new.

    `guess` and `scale` (rows, known models), ln ms, `share` (members, rows); the rows are the known
    devices, the same as if they were new (`past`), and the new devices (`found`).
    """

    guess: np.ndarray
    scale: np.ndarray
    share: np.ndarray
    past: Completed
    found: Completed


def featured(names: Sequence[str], traits: Sequence[Traits], known: Known) -> Featured:
    """Describe all models, tune the members on the known ones, and rehearse these as if new."""
    described = describe(names, traits)
    members = tuned(described, known.log_ms, known.models)
    return Featured(described, members, *rehearsed_models(known, described, members, known.log_ms))


def rehearsed(known: Known, models: Featured, past: Completed, found: Completed) -> Rehearsed:
    """Rehearse new models on known devices, on these as if they were new, and on the new ones."""
    rows = np.r_[past.middle, found.middle]
    tried, spread = rehearsed_models(known, models.described, models.members, rows)
    tried, spread = np.r_["1", models.tried, tried], np.r_["1", models.spread, spread]
    share = weights(tried, np.r_[known.log_ms, rows], len(known.devices))
    return Rehearsed(mixed(tried, share), doubt(tried, spread), share, past, found)


def blended(
    known: Known, shared: Rehearsed, past: Completed, found: Completed
) -> tuple[Completed, Completed]:
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
