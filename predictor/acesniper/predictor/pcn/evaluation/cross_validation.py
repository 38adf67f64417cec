"""Cross-validation over whole families of models and whole devices.

Four splits, each with other families hidden in turn: `seen device` (all other networks observed on
it), `new device` (a platform) and `new runtime` (all platforms of one), the latter two from the
probe alone and after some observations. Each fold trains a network without the hidden data.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from acesniper.predictor.pcn.dataset import AtlasDataset
from acesniper.predictor.pcn.train import (
    DEFAULT_SETTINGS,
    HiddenCells,
    TrainingSettings,
    fit,
    predict_hidden,
)

FOLDS = 4
"""Families are dealt into so many folds; each group of devices meets one of them."""

KNOWN_MODELS = "known"
"""In place of "platform": platforms are hidden, the networks were measured on all others."""

ALL_OBSERVED = -1
"""In place of a number of observations: all networks that are not hidden."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class HiddenFold:
    """Predictions of hidden models on hidden devices after each number of observations.

    `models` (M,) and `devices` (D,) are indices of the dataset; `mean` and `deviation` map a number
    of observations to arrays (M, D), log seconds; `explained` (D,) is how well the other devices
    explain each, in [0, 1].
    """

    group: str
    models: np.ndarray
    devices: np.ndarray
    mean: dict[int, np.ndarray]
    deviation: dict[int, np.ndarray]
    explained: np.ndarray


def cross_validate(
    data: AtlasDataset,
    by: str,
    observations: Sequence[int],
    settings: TrainingSettings = DEFAULT_SETTINGS,
    progress: Progress = lambda _: None,
) -> Iterator[HiddenFold]:
    """Each group of devices (by "runtime" or "platform") hidden once, with a fold of families.

    By KNOWN only devices are hidden.
    """
    for group, models, devices in hidden_groups(data, by):
        progress(f"without {by} {group}")
        yield hidden_fold(data, group, models, devices, observations, settings, by == KNOWN_MODELS)


def hidden_groups(data: AtlasDataset, by: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each group of devices with the models to ask for and the devices to hide, as indices."""
    groups = data.runtimes if by == "runtime" else data.platforms
    dealt = deal_families(data.families, data.reference)
    for turn, group in enumerate(np.unique(groups)):
        models = ~data.reference if by == KNOWN_MODELS else dealt == turn % FOLDS
        yield str(group), np.flatnonzero(models), np.flatnonzero(groups == group)


def hidden_fold(
    data: AtlasDataset,
    group: str,
    models: np.ndarray,
    devices: np.ndarray,
    observations: Sequence[int],
    settings: TrainingSettings,
    known_models: bool = False,
) -> HiddenFold:
    """Train without these devices, and models unless they are known; predict these on those."""
    everything = np.arange(len(data.names))
    shown = everything if known_models else np.setdiff1d(everything, models)
    others = np.setdiff1d(np.arange(len(data.platforms)), devices)
    part = data.take(shown, others)
    network = fit(part, settings)
    known = data.known(part.scales)
    mean, deviation = {}, {}
    for count in observations:
        seen = observed_networks(data, shown, count, settings.seed)
        hidden = HiddenCells(models, devices, shown, others, seen, int(data.reference.sum()))
        with torch.no_grad():
            found = predict_hidden(network, known, hidden)
        mean[count], deviation[count] = (array.numpy() for array in found)
    with torch.no_grad():
        memory = network.remember(known.take(torch.tensor(shown), torch.tensor(others)))
        asked = known.take(torch.tensor(models), torch.tensor(devices))
        explained = network(asked.models, asked.devices, memory).device.numpy()
    return HiddenFold(group, models, devices, mean, deviation, explained)


def deal_families(families: np.ndarray, never: np.ndarray) -> np.ndarray:
    """The fold (N,) of each network, whole families together; -1 for those never hidden."""
    names = np.unique(families[~never])
    order = np.random.default_rng(0).permutation(len(names))
    place = {str(names[at]): i % FOLDS for i, at in enumerate(order)}
    return np.array(
        [-1 if out else place[str(family)] for family, out in zip(families, never, strict=True)]
    )


def observed_networks(data: AtlasDataset, shown: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The references, and so many other networks that are not hidden, drawn at random."""
    references = np.flatnonzero(data.reference)
    others = np.setdiff1d(shown, references)
    drawn = (
        others if count == ALL_OBSERVED else np.random.default_rng(seed).permutation(others)[:count]
    )
    return np.concatenate([references, drawn])
