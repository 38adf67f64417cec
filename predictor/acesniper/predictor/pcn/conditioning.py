"""Correct a device's predictions by what was observed on it (torch, for training)."""

from typing import NamedTuple

import torch
from torch import Tensor

from acesniper.predictor.pcn.model import ErrorCovariance, ModelTensors

REFERENCE_BOUND = 0.5
"""How far one reference can lie from the others (log seconds): beyond, it hit a kernel cliff."""

ROBUST_ROUNDS = 2
"""How often it is asked what the other observations imply for each reference."""

PRIOR_OBSERVATIONS = 3.0
"""Observations as expected that every device is credited with, before its own are seen."""

UNUSUAL_WEIGHT = 2.0
"""How much less is known where a prediction rests on unusual probes: see `doubted`."""

MISSING_NOISE = 1e6
"""The noise of an observation that was not made."""


class ObservedErrors(NamedTuple):
    """What was observed on devices: `wrong` (O, D) is observed less predicted, where `made`.

    The first `references` of the models are the suite's own networks.
    """

    models: ModelTensors
    wrong: Tensor
    made: Tensor
    references: int


def bounded_errors(wrong: Tensor, made: Tensor) -> Tensor:
    """Mistakes on the references (R, D) with those drawn in that lie far from their median.

    One network that a runtime handles badly surprises, but not without end.
    """
    if not len(wrong):
        return wrong
    there = torch.where(made, wrong, torch.full_like(wrong, torch.nan))
    middle = torch.nan_to_num(there.nanmedian(0).values)
    return middle + REFERENCE_BOUND * torch.tanh((wrong - middle) / REFERENCE_BOUND)


def robust_errors(inverse: Tensor, heard: Tensor, seen: ObservedErrors) -> Tensor:
    """Mistakes (O, D) where what the others contradict counts the less, the further it is off.

    A reference on a kernel cliff says little of other models (a redescending estimate: Hampel et
    al., "Robust Statistics", 1986). Models that a device itself ran are taken as they are, for they
    will be asked for again. `inverse` (D, O, O) is that of the covariance with its noise, `heard`
    the mistakes to start from.
    """
    found, count = heard, seen.references
    for _ in range(ROBUST_ROUNDS):
        alone = torch.einsum("doq,qd->od", inverse, found) / inverse.diagonal(dim1=1, dim2=2).T
        implied = (found - alone)[:count]
        apart = torch.where(seen.made, seen.wrong, heard)[:count] - implied
        found = torch.cat([implied + apart / (1 + (apart / REFERENCE_BOUND) ** 2), heard[count:]])
    return torch.where(seen.made, found, torch.zeros_like(found))


def condition(
    observed: ErrorCovariance, models: ModelTensors, mean: Tensor, seen: ObservedErrors
) -> tuple[Tensor, Tensor]:
    """Mean and deviation (M, D) after observations, log seconds; `mean` (M, D) is that before.

    Gaussian process regression (Rasmussen and Williams, 2006, chapter 2), device by device.
    """
    there = seen.made.T.to(mean.dtype)  # D, O
    inner, outer = observed(seen.models, seen.models), observed(models, seen.models)
    noise = torch.diag_embed(observed.noise.exp() + (1 - there) * MISSING_NOISE)
    joint = inner[None] * there[:, :, None] * there[:, None, :] + noise
    cross = (outer[None] * there[:, None, :]).transpose(1, 2)  # D, O, M
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(joint))
    weights = inverse @ cross
    count = seen.references
    near = torch.cat([bounded_errors(seen.wrong[:count], seen.made[:count]), seen.wrong[count:]])
    heard = torch.where(seen.made, near, torch.zeros_like(near))
    added = torch.einsum("dom,od->md", weights, robust_errors(inverse, heard, seen))
    left = observed.own(models)[None] - (cross * weights).sum(1)
    variance = left.clamp_min(1e-6).T + observed.noise.exp()
    return mean + added, (variance * surprise(inverse, heard, seen.made)).sqrt()


def surprise(inverse: Tensor, wrong: Tensor, made: Tensor) -> Tensor:
    """How much further off than expected a device's own observations are, as variance, (D,).

    Each observation is predicted from the others (the closed form of leaving one out: Rasmussen and
    Williams, 2006, section 5.4.2); the mean squared mistake over its variance, drawn towards 1.
    `inverse` (D, O, O) is that of the covariance with its noise.
    """
    alone = torch.einsum("doq,qd->do", inverse, wrong).square() / inverse.diagonal(dim1=1, dim2=2)
    there = made.T.to(alone.dtype)
    return ((alone * there).sum(1) + PRIOR_OBSERVATIONS) / (there.sum(1) + PRIOR_OBSERVATIONS)


def widened_deviation(deviation: Tensor, unusual: Tensor) -> Tensor:
    """The deviation (M, D), wider where a prediction rests on probes that are unlike usual ones.

    A kernel that is many times slower or faster than usual was not written like the others: how it
    takes larger or smaller work is not known from them. `unusual` is that of `Physics.unusual`.
    """
    return deviation * (1 + (UNUSUAL_WEIGHT * unusual).square()).sqrt()
