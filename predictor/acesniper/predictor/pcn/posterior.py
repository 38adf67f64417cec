"""Gaussian-process posterior of a device's predictions after observations (numpy, for serving).

`gp` is the same in torch, for training, with the constants of this module. Devices with the same
observed models are computed at once.
"""

from collections.abc import Sequence

import numpy as np

from acesniper.predictor.base import Observation, Observations
from acesniper.predictor.gaussian import conditional_variance, conditional_weights, most_informative

PRIOR_OBSERVATIONS = 3.0
"""Unsurprising observations that every device is credited with before its own are seen."""

RUN_VARIANCE = 0.03**2
"""Variance (log seconds, squared) between two runs of one model on one device."""

UNUSUAL_WEIGHT = 2.0
"""How much unusual probes widen the deviation: see `widened_deviation`."""

REFERENCE_BOUND = 0.5
"""Log seconds that a reference may lie from the others; beyond, it hit a kernel cliff."""

ROBUST_ROUNDS = 2
"""Rounds of computing what the other observations imply for each reference."""


def widened_deviation(deviation: np.ndarray, unusual: np.ndarray) -> np.ndarray:
    """The deviation (M, D), wider where a prediction rests on unusual probes.

    A kernel that is many times slower or faster than usual was not written like the others: its
    time at other sizes cannot be inferred from them. `unusual` is that of `Physics.unusual`.
    """
    return np.asarray(deviation * np.sqrt(1 + (UNUSUAL_WEIGHT * unusual) ** 2), np.float32)


def usable_observations(
    observations: Sequence[Observation], version: str, most: int
) -> list[Observation]:
    """The newest `most` valid observations with features of this version."""
    valid = [
        observation
        for observation in observations
        if observation.model.version == version
        and 0 < observation.latency_s < np.inf
        and observation.variance >= 0
    ]
    return valid[-most:]


def own_variance(noise: float) -> float:
    """The part of the noise that belongs to a model on a device and recurs with it.

    Training never predicts a model that it observed, so that it cannot separate the two.
    """
    return max(noise - RUN_VARIANCE, 0.0)


def repeated_models(
    digests: Sequence[str], observations: Sequence[Observation], references: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which observations are of a requested model (M, O), and of the same one as another (O, O).

    `digests` are those of the requested models; the `references` come first in O.
    """
    number = {observation.model_key: i for i, observation in enumerate(observations)}
    observed = np.array(
        [-1] * references + [number[observation.model_key] for observation in observations]
    )
    same = (observed[:, None] == observed) & (observed >= 0)
    np.fill_diagonal(same, False)
    requested = np.array([number.get(digest, -2) for digest in digests])
    return requested[:, None] == observed, same


def already_run(digests: Sequence[str], observations: Observations) -> np.ndarray:
    """Which models each device ran itself, (M, D), or (M, 1) if none ran any."""
    if not any(observations):
        return np.zeros((len(digests), 1), bool)
    ran = [{observation.model_key for observation in device} for device in observations]
    return np.array([[digest in models for models in ran] for digest in digests], bool)


def posterior(
    outer: np.ndarray,
    inner: np.ndarray,
    own: np.ndarray,
    noise: np.ndarray,
    errors: np.ndarray,
    references: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corrections (M, D) and variances (M,) after observations, log seconds; surprise (D,).

    Gaussian process regression (Rasmussen and Williams, 2006, chapter 2). `outer` (M, O) and
    `inner` (O, O) are covariances, `own` (M,) variances, `noise` (O,) those of the observations.
    `errors` (O, D) are observed less predicted in 32 bit, the `references` first. Surprise is that
    of `gp.surprise`.
    """
    start = np.vstack([bounded_errors(errors[:references]), errors[references:]])
    inverse = np.linalg.inv(inner.astype(np.float64) + np.diag(noise))
    weights = inverse @ outer.T.astype(np.float64)  # O, M
    left = conditional_variance(own, outer, weights)
    alone = (inverse @ start) ** 2 / np.diagonal(inverse)[:, None]
    surprise = (alone.sum(axis=0) + PRIOR_OBSERVATIONS) / (len(errors) + PRIOR_OBSERVATIONS)
    added = weights.T.astype(np.float32) @ robust_errors(inverse, start, errors, references)
    return added, np.maximum(left, 1e-6), surprise


def bounded_errors(errors: np.ndarray) -> np.ndarray:
    """Errors on the references (R, D), bounded around their median (as `gp.bounded_errors`)."""
    if not len(errors):
        return errors
    middle = np.sort(errors, axis=0)[(len(errors) - 1) // 2]  # the lower one, as in torch
    return np.asarray(
        middle + REFERENCE_BOUND * np.tanh((errors - middle) / REFERENCE_BOUND), errors.dtype
    )


def robust_errors(
    inverse: np.ndarray, start: np.ndarray, errors: np.ndarray, references: int
) -> np.ndarray:
    """Errors (O, D) with references that the others contradict reduced (as `gp.robust_errors`).

    `inverse` (O, O) is that of the covariance with its noise, `start` the errors to begin with.
    """
    result, own = start, np.diagonal(inverse)[:, None]
    for _ in range(ROBUST_ROUNDS):
        implied = (result - (inverse @ result) / own)[:references]
        apart = errors[:references] - implied
        reduced = implied + apart / (1 + (apart / REFERENCE_BOUND) ** 2)
        result = np.vstack([reduced, start[references:]])
    return np.asarray(result, errors.dtype)


def next_observations(
    covariance: np.ndarray, outer: np.ndarray, inner: np.ndarray, noise: float, count: int
) -> list[int]:
    """Positions of the models to observe next, best first.

    `covariance` (M, M) is that before, `outer` (M, O) and `inner` (O, O) those of what was observed
    already; `noise` is the variance of one more observation.
    """
    left = covariance - outer @ conditional_weights(inner, outer)
    return most_informative(left, noise, count)
