"""Train the network on an atlas so that it predicts hidden models on hidden devices.

Each step hides some families, and a runtime or a device, and predicts the hidden models on the
hidden devices from the rest (as in meta-learning: Vinyals et al., "Matching networks", 2016). In
some steps models are observed on the hidden devices, as on a device that has run tasks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from acesniper.predictor.pcn.dataset import AtlasDataset
from acesniper.predictor.pcn.gp import ObservedErrors, condition, widened_deviation
from acesniper.predictor.pcn.model import OPTIONAL_PARTS, KnownLatencies, ModelTensors, Network

HUBER_DELTA = 0.3
"""Where Huber's loss turns from squares to absolute values, in log seconds."""

HIDDEN_FAMILIES = 5
"""One family in so many is hidden in a step."""

MAX_OBSERVED = (0, 0, 10, 30, 200)
"""How many models are observed on the hidden devices at most, drawn again in each step."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to train. The same seed gives the same network on the same machine."""

    steps: int = 250
    rate: float = 0.03
    tower_rate: float = 0.004
    tower_decay: float = 0.1
    shrinkage: float = 2e-3
    seed: int = 0
    parts: tuple[str, ...] = OPTIONAL_PARTS


DEFAULT_SETTINGS = TrainingSettings()


@dataclass(frozen=True, slots=True, eq=False)
class HiddenCells:
    """What a step hides, as indices of the dataset: the rest is shown.

    The first `references` of the `observed` are the suite's own networks.
    """

    models: np.ndarray
    devices: np.ndarray
    shown_models: np.ndarray
    shown_devices: np.ndarray
    observed: np.ndarray
    references: int


def fit(
    data: AtlasDataset,
    settings: TrainingSettings = DEFAULT_SETTINGS,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> Network:
    """A network for this dataset. `progress` is called with each step and its loss."""
    torch.manual_seed(settings.seed)
    source = np.random.default_rng(settings.seed)
    known = data.known()
    network = Network(*data.widths(), parts=settings.parts).double()
    optimiser = torch.optim.AdamW(_groups(network, settings))
    rates = [settings.rate, settings.tower_rate]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=settings.steps)
    for step in range(settings.steps):
        loss = step_loss(network, known, draw_hidden(data, source))
        loss = loss + settings.shrinkage * network.physics.shrinkage()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress(step, float(loss.detach()))
    return network.eval()


def draw_hidden(data: AtlasDataset, source: np.random.Generator) -> HiddenCells:
    """Hide one family in HIDDEN, and all devices of one runtime or a single device."""
    names = np.unique(data.families[~data.reference])
    chosen = source.choice(names, max(len(names) // HIDDEN_FAMILIES, 1), replace=False)
    models = np.isin(data.families, chosen) & ~data.reference
    if source.random() < 0.6 and len(set(data.runtimes)) > 2:
        devices = data.runtimes == source.choice(np.unique(data.runtimes))
    else:
        devices = np.arange(len(data.runtimes)) == source.integers(len(data.runtimes))
    shown = np.flatnonzero(~models & ~data.reference)
    count = min(int(source.choice(MAX_OBSERVED)), len(shown))
    references = np.flatnonzero(data.reference)
    observed = np.r_[references, source.choice(shown, count, replace=False)]
    return HiddenCells(
        np.flatnonzero(models),
        np.flatnonzero(devices),
        np.flatnonzero(~models),
        np.flatnonzero(~devices),
        observed,
        len(references),
    )


def step_loss(network: Network, known: KnownLatencies, hidden: HiddenCells) -> Tensor:
    """Huber's loss over the hidden models on the hidden devices, and how likely the spread was."""
    mean, deviation = predict_hidden(network, known, hidden)
    asked = known.take(torch.tensor(hidden.models), torch.tensor(hidden.devices))
    if not asked.measured.any():
        return 0.0 * mean.sum()  # devices that ran a few models only: none of them is hidden
    wrong = (mean - asked.log_s)[asked.measured]
    spread = deviation[asked.measured]
    error = functional.huber_loss(wrong, torch.zeros_like(wrong), delta=HUBER_DELTA) * 10
    scores = wrong.detach().abs() / spread
    # The spread is fitted to mistakes as they are: it must not pay to make them.
    return error + 0.1 * (spread.log() + scores).mean()


def predict_hidden(
    network: Network, known: KnownLatencies, hidden: HiddenCells
) -> tuple[Tensor, Tensor]:
    """Mean and deviation (hidden models, hidden devices), log seconds, from what is shown."""
    shown = known.take(torch.tensor(hidden.shown_models), torch.tensor(hidden.shown_devices))
    memory = network.remember(shown)
    devices = known.devices.take(torch.tensor(hidden.devices))
    models = known.models.take(torch.tensor(hidden.models))
    observed = known.models.take(torch.tensor(hidden.observed))
    both = ModelTensors(*(torch.cat(pair) for pair in zip(models, observed, strict=True)))
    mean = network(both, devices, memory).mean
    seen = known.take(torch.tensor(hidden.observed), torch.tensor(hidden.devices))
    count = len(hidden.models)
    seen_wrong = ObservedErrors(
        observed, seen.log_s - mean[count:], seen.measured, hidden.references
    )
    mean, deviation = condition(network.observed, models, mean[:count], seen_wrong)
    # No gradient: physics must not change in order to narrow the deviation.
    return mean, widened_deviation(deviation, network.physics.unusual(models, devices).detach())


def _groups(network: Network, settings: TrainingSettings) -> list[dict[str, object]]:
    """The towers learn slowly and are kept small; all else is a handful of numbers."""
    towers = list(network.residual.parameters())
    inside = {id(parameter) for parameter in towers}
    others = [parameter for parameter in network.parameters() if id(parameter) not in inside]
    return [
        {"params": others, "lr": settings.rate, "weight_decay": 0.0},
        {"params": towers, "lr": settings.tower_rate, "weight_decay": settings.tower_decay},
    ]
