"""Correct a device's predictions by what was observed on it (torch, for training)."""

import torch
from torch import Tensor

from acesniper.predictor.pcn.modules import Models, Observed

BOUND = 0.5
"""How far one reference can lie from the others (log seconds): beyond, it hit a kernel cliff."""

USUAL = 3.0
"""Observations as expected that every device is credited with, before its own are seen."""

UNSEEN = 1e6
"""The noise of an observation that was not made."""


def bounded(wrong: Tensor, made: Tensor) -> Tensor:
    """Mistakes on the references (R, D) with those drawn in that lie far from their median.

    One network that a runtime handles badly says little of others; models that a device itself ran
    are taken as they are, for they will be asked for again.
    """
    there = torch.where(made, wrong, torch.full_like(wrong, torch.nan))
    middle = torch.nan_to_num(there.nanmedian(0).values)
    return middle + BOUND * torch.tanh((wrong - middle) / BOUND)


def condition(
    observed: Observed, models: Models, seen: Models, mean: Tensor, wrong: Tensor, made: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and deviation (M, D) after observations, log seconds.

    `mean` (M, D) is the prediction before; `wrong` (O, D) is observed less predicted for the models
    `seen`, where `made`. Gaussian process regression (Rasmussen and Williams, 2006, chapter 2), for
    each device by itself.
    """
    there = made.T.to(mean.dtype)  # D, O
    inner, outer = observed(seen, seen), observed(models, seen)
    noise = torch.diag_embed(observed.noise.exp() + (1 - there) * UNSEEN)
    joint = inner[None] * there[:, :, None] * there[:, None, :] + noise
    cross = (outer[None] * there[:, None, :]).transpose(1, 2)  # D, O, M
    root = torch.linalg.cholesky(joint)
    weights = torch.cholesky_solve(cross, root)
    heard = torch.where(made, wrong, torch.zeros_like(wrong))
    added = torch.einsum("dom,od->md", weights, heard)
    left = observed.own(models)[None] - (cross * weights).sum(1)
    variance = left.clamp_min(1e-6).T + observed.noise.exp()
    return mean + added, (variance * strangeness(torch.cholesky_inverse(root), heard, made)).sqrt()


def strangeness(inverse: Tensor, wrong: Tensor, made: Tensor) -> Tensor:
    """How much further off than expected a device's own observations are, as variance, (D,).

    Each observation is predicted from the others (the closed form of leaving one out: Rasmussen and
    Williams, 2006, section 5.4.2); the mean squared mistake over its variance, drawn towards 1.
    `inverse` (D, O, O) is that of the covariance with its noise.
    """
    alone = torch.einsum("doq,qd->do", inverse, wrong).square() / inverse.diagonal(dim1=1, dim2=2)
    there = made.T.to(alone.dtype)
    return ((alone * there).sum(1) + USUAL) / (there.sum(1) + USUAL)
