"""Gaussian-process posterior of a device's predictions after observations (torch, for training).

`posterior` is the same in numpy, for serving; it holds the constants of both.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from acesniper.predictor.pcn.model import ErrorCovariance, ModelTensors
from acesniper.predictor.pcn.posterior import (
    PRIOR_OBSERVATIONS,
    REFERENCE_BOUND,
    ROBUST_ROUNDS,
    UNUSUAL_WEIGHT,
)

MISSING_NOISE = 1e6
"""The noise of a missing observation, so that it has no effect."""


class ObservedErrors(NamedTuple):
    """Errors on devices: `errors` (O, D) is observed less predicted, where `measured`.

    The first `references` of the models are the suite's own networks.
    """

    models: ModelTensors
    errors: Tensor
    measured: Tensor
    references: int


def condition(
    covariance: ErrorCovariance, models: ModelTensors, mean: Tensor, observed: ObservedErrors
) -> tuple[Tensor, Tensor]:
    """Mean and deviation (M, D) after observations, log seconds; `mean` (M, D) is that before.

    Gaussian process regression (Rasmussen and Williams, 2006, chapter 2), device by device.
    """
    there = observed.measured.T.to(mean.dtype)  # D, O
    inner = covariance(observed.models, observed.models)
    outer = covariance(models, observed.models)
    noise = torch.diag_embed(covariance.noise.exp() + (1 - there) * MISSING_NOISE)
    joint = inner[None] * there[:, :, None] * there[:, None, :] + noise
    cross = (outer[None] * there[:, None, :]).transpose(1, 2)  # D, O, M
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(joint))
    weights = inverse @ cross
    count, errors, measured = observed.references, observed.errors, observed.measured
    near = torch.cat([bounded_errors(errors[:count], measured[:count]), errors[count:]])
    start = torch.where(measured, near, torch.zeros_like(near))
    added = torch.einsum("dom,od->md", weights, robust_errors(inverse, start, observed))
    left = covariance.own(models)[None] - (cross * weights).sum(1)
    variance = left.clamp_min(1e-6).T + covariance.noise.exp()
    return mean + added, (variance * surprise(inverse, start, measured)).sqrt()


def bounded_errors(errors: Tensor, measured: Tensor) -> Tensor:
    """Errors on the references (R, D), bounded around their median.

    One network that a runtime executes badly surprises, but only up to a bound.
    """
    if not len(errors):
        return errors
    there = torch.where(measured, errors, torch.full_like(errors, torch.nan))
    middle = torch.nan_to_num(there.nanmedian(0).values)
    return middle + REFERENCE_BOUND * torch.tanh((errors - middle) / REFERENCE_BOUND)


def robust_errors(inverse: Tensor, start: Tensor, observed: ObservedErrors) -> Tensor:
    """Errors (O, D) with references reduced the more, the further they are off the others.

    A reference on a kernel cliff says little of other models (a redescending estimate: Hampel et
    al., "Robust Statistics", 1986). Models that a device ran itself keep their errors, as they will
    be requested again. `inverse` (D, O, O) is that of the covariance with its noise, `start` the
    errors to begin with.
    """
    result, count = start, observed.references
    for _ in range(ROBUST_ROUNDS):
        alone = torch.einsum("doq,qd->od", inverse, result) / inverse.diagonal(dim1=1, dim2=2).T
        implied = (result - alone)[:count]
        apart = torch.where(observed.measured, observed.errors, start)[:count] - implied
        reduced = implied + apart / (1 + (apart / REFERENCE_BOUND) ** 2)
        result = torch.cat([reduced, start[count:]])
    return torch.where(observed.measured, result, torch.zeros_like(result))


def surprise(inverse: Tensor, errors: Tensor, measured: Tensor) -> Tensor:
    """How much larger than expected a device's own errors are, as a factor on variance, (D,).

    Each observation is predicted from the others (leaving one out in closed form: Rasmussen and
    Williams, 2006, section 5.4.2); the mean squared error over its variance, shrunk towards 1.
    `inverse` (D, O, O) is that of the covariance with its noise.
    """
    squared = torch.einsum("doq,qd->do", inverse, errors).square()
    alone = squared / inverse.diagonal(dim1=1, dim2=2)
    there = measured.T.to(alone.dtype)
    return ((alone * there).sum(1) + PRIOR_OBSERVATIONS) / (there.sum(1) + PRIOR_OBSERVATIONS)


def widened_deviation(deviation: Tensor, unusual: Tensor) -> Tensor:
    """The deviation (M, D), wider where a prediction rests on unusual probes.

    As `posterior.widened_deviation`.
    """
    return deviation * (1 + (UNUSUAL_WEIGHT * unusual).square()).sqrt()
