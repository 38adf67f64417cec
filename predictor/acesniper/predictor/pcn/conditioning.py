"""Correct a device's predictions by what was observed on it (torch, for training)."""

import torch
from torch import Tensor

from acesniper.predictor.pcn.modules import Models, Observed

BOUND = 0.5
"""How far one reference can lie from the others (log seconds): beyond, it hit a kernel cliff."""

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
    weights = torch.cholesky_solve(cross, torch.linalg.cholesky(joint))
    added = torch.einsum("dom,od->md", weights, torch.where(made, wrong, torch.zeros_like(wrong)))
    left = observed.own(models)[None] - (cross * weights).sum(1)
    return mean + added, (left.clamp_min(1e-6).T + observed.noise.exp()).sqrt()
