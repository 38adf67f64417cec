"""What was run on a device corrects what is predicted for it (numpy, for serving).

The same Gaussian process as `conditioning`, for devices with the same observations at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.domain.model import ModelFeatures

MAX_OBSERVATIONS = 256
"""The newest so many observations of a device count: the cost grows with their cube."""


PRIOR_OBSERVATIONS = 3.0
"""Observations as expected that every device is credited with (as in `conditioning`)."""

PRIOR_SHIFT = 0.2
"""Other software, other memory traffic, another temperature than when it was probed."""
DRIFTED_SHIFT = 1.0
"""The same for a device that was found to be another than was probed."""

RUN_VARIANCE = 0.03**2
"""By how much (log seconds, squared) a model that runs again misses what it took before."""

UNUSUAL_WEIGHT = 2.0
"""How much less is known where a prediction rests on unusual probes (as in `conditioning`)."""

REFERENCE_BOUND = 0.5
"""How far one reference can lie from the others, log seconds."""

ROBUST_ROUNDS = 2
"""How often it is asked what the other observations imply for each reference."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One inference of a model took `latency_s` on the device whose list this is in, newest last.

    `variance` of log seconds is added to the noise that training found, for a doubtful one. `shift`
    is by how much (log seconds) the device may have become faster or slower, for all models alike,
    since it was probed; the largest of a device's observations counts.
    """

    model: ModelFeatures
    latency_s: float
    variance: float = 0.0
    shift: float = PRIOR_SHIFT


Observations = Sequence[Sequence[Observation]]
"""For each device of a call what ran on it, oldest first; or nothing for all."""


def widened_deviation(deviation: np.ndarray, unusual: np.ndarray) -> np.ndarray:
    """The deviation (M, D), wider where a prediction rests on unusual probes.

    As `conditioning.doubted`.
    """
    return np.asarray(deviation * np.sqrt(1 + (UNUSUAL_WEIGHT * unusual) ** 2), np.float32)


def usable_observations(made: Sequence[Observation], version: str) -> list[Observation]:
    """The newest MOST that say something, of features of this version."""
    good = [
        each
        for each in made
        if each.model.version == version and 0 < each.latency_s < np.inf and each.variance >= 0
    ]
    return good[-MAX_OBSERVATIONS:]


def bounded_errors(wrong: np.ndarray) -> np.ndarray:
    """Mistakes on the references (R, D) with those drawn in that lie far from their median.

    As `conditioning.bounded`, which the network was trained with.
    """
    if not len(wrong):
        return wrong
    middle = np.sort(wrong, axis=0)[(len(wrong) - 1) // 2]  # the lower one, as torch has it
    return np.asarray(
        middle + REFERENCE_BOUND * np.tanh((wrong - middle) / REFERENCE_BOUND), wrong.dtype
    )


def robust_errors(
    inverse: np.ndarray, heard: np.ndarray, wrong: np.ndarray, references: int
) -> np.ndarray:
    """Mistakes (O, D) where references that the others contradict count the less.

    As `conditioning.believed`; `heard` are the mistakes to start from.
    """
    found, own = heard, np.diagonal(inverse)[:, None]
    for _ in range(ROBUST_ROUNDS):
        implied = (found - (inverse @ found) / own)[:references]
        apart = wrong[:references] - implied
        found = np.vstack(
            [implied + apart / (1 + (apart / REFERENCE_BOUND) ** 2), heard[references:]]
        )
    return np.asarray(found, wrong.dtype)


def own_variance(noise: float) -> float:
    """What of the noise that training found is a model's own and comes again with it.

    Training never asks for a model that it observed: it cannot tell the two apart.
    """
    return max(noise - RUN_VARIANCE, 0.0)


def repeated_models(
    named: Sequence[str], made: Sequence[Observation], references: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where an observation is of a model asked for (M, O), and of one observed before (O, O).

    `named` are the digests of the models asked for; the `references` come first in O.
    """
    number = {each.model.digest: i for i, each in enumerate(made)}
    seen = np.array([-1] * references + [number[each.model.digest] for each in made])
    twice = (seen[:, None] == seen) & (seen >= 0)
    np.fill_diagonal(twice, False)
    asked = np.array([number.get(digest, -2) for digest in named])
    return asked[:, None] == seen, twice


def already_run(named: Sequence[str], made: Observations) -> np.ndarray:
    """Which models each device ran itself, (M, D), or (M, 1) where none ran any."""
    if not any(made):
        return np.zeros((len(named), 1), bool)
    ran = [{each.model.digest for each in own} for own in made]
    return np.array([[each in own for own in ran] for each in named], bool)


def posterior(
    outer: np.ndarray,
    inner: np.ndarray,
    own: np.ndarray,
    noise: np.ndarray,
    wrong: np.ndarray,
    references: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corrections (M, D) and variances (M,) after observations, log seconds; strangeness (D,).

    `outer` (M, O) and `inner` (O, O) are covariances, `own` (M,) variances, `noise` (O,) those of
    the observations; `wrong` (O, D) is observed less predicted, 32 bit as the table: first the
    `references`, then what the device ran. Strangeness is that of `conditioning.strangeness`.
    """
    heard = np.vstack([bounded_errors(wrong[:references]), wrong[references:]])
    inverse = np.linalg.inv(inner.astype(np.float64) + np.diag(noise))
    weights = inverse @ outer.T.astype(np.float64)  # O, M
    left = own - (outer.T * weights).sum(axis=0)
    alone = (inverse @ heard) ** 2 / np.diagonal(inverse)[:, None]
    strange = (alone.sum(axis=0) + PRIOR_OBSERVATIONS) / (len(wrong) + PRIOR_OBSERVATIONS)
    added = weights.T.astype(np.float32) @ robust_errors(inverse, heard, wrong, references)
    return added, np.maximum(left, 1e-6), strange


def most_informative(covariance: np.ndarray, noise: float, count: int) -> list[int]:
    """Which models to observe so that least variance is left over all of them, one after another.

    Greedy, as such a sum falls less with every further one (Krause et al., 2008); `covariance`
    (M, M) is what is left after what was observed already.
    """
    left = covariance.astype(np.float64)
    chosen: list[int] = []
    for _ in range(min(count, len(left))):
        certain = np.diagonal(left) + noise
        gain = (left**2).sum(axis=0) / certain
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        chosen.append(best)
        left = left - np.outer(left[:, best], left[best]) / certain[best]
    return chosen
