"""The parts of the network, each a torch module that can be read on its own.

Shapes: M models, D devices, N known networks, K known devices, T terms, P probes. All times are
natural logarithms of seconds, all corrections additive there.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

JITTER = 1e-4
"""Least noise of a regression, so that alike networks do not make it singular."""


class ModelTensors(NamedTuple):
    """Models as tensors: `work`, `size`, `shares` (M, T), `spread` (M, S), `sizes` (M, Z)."""

    work: Tensor
    size: Tensor
    shares: Tensor
    spread: Tensor
    sizes: Tensor

    def take(self, rows: Tensor) -> "Models":
        """Some of the models."""
        return ModelTensors(*(each[rows] for each in self))


class DeviceTensors(NamedTuple):
    """Devices as tensors: `seconds` (D, T) of the terms' probes, `shape` (D, P) of readings.

    `unusual` (D, T): how far the shape is from usual at the probe of each term.
    """

    seconds: Tensor
    shape: Tensor
    unusual: Tensor

    def take(self, rows: Tensor) -> "Devices":
        """Some of the devices."""
        return DeviceTensors(*(each[rows] for each in self))


class Physics(nn.Module):
    """A model takes what its parts take in the probes: log of a sum of non-negative terms.

    Each term is work x time of its probe x a learned correction: a factor, and a power of how much
    larger the model's nodes are than the probe's. Both start at "no correction" and are shrunk.
    """

    def __init__(self, terms: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(terms))  # log
        self.power = nn.Parameter(torch.zeros(terms))

    def forward(self, models: ModelTensors, devices: DeviceTensors) -> Tensor:
        """Log seconds (M, D)."""
        return torch.log(self.corrected(models) @ devices.seconds.T)

    def corrected(self, models: ModelTensors) -> Tensor:
        """How often each term's probe, after the corrections: (M, T)."""
        return models.work * torch.exp(self.factor + self.power * models.size)

    def unusual(self, models: ModelTensors, devices: DeviceTensors) -> Tensor:
        """How unusual the probes are that a prediction rests on, by their shares of it (M, D)."""
        corrected = self.corrected(models)
        rests_on = corrected @ (devices.seconds * devices.unusual).T
        return rests_on / (corrected @ devices.seconds.T)

    def shrinkage(self) -> Tensor:
        """How far the corrections are from none."""
        return self.factor.square().sum() + 4 * self.power.square().sum()


class ModelKernel(nn.Module):
    """How alike two models are, as a covariance: in shares of time, in spread, in totals."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([-1.0, -1.0, -2.0, -2.0, -2.0, -4.0]))  # log
        self.length = nn.Parameter(torch.tensor([-0.7, -0.7, 1.0]))  # log

    def forward(self, a: ModelTensors, b: ModelTensors) -> Tensor:
        """Shape (A, B)."""
        weight, length = self.weight.exp(), self.length.exp()
        return (
            weight[0] * nearness(a.shares, b.shares, length[0])
            + weight[1] * nearness(a.spread, b.spread, length[1])
            + weight[2] * nearness(a.sizes, b.sizes, length[2])
            + weight[3] * a.shares @ b.shares.T
            + weight[4] * _costs(a) @ _costs(b).T
            + weight[5] * _slopes(a) @ _slopes(b).T
        )

    def own(self, a: ModelTensors) -> Tensor:
        """The covariance of each model with itself, shape (A,)."""
        weight = self.weight.exp()
        own = weight[:3].sum() + weight[3] * a.shares.square().sum(1)
        return own + weight[4] * _costs(a).square().sum(1) + weight[5] * _slopes(a).square().sum(1)


class DeviceKernel(nn.Module):
    """How alike two devices are: a part all share, and the shape of their readings."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))  # log
        self.length = nn.Parameter(torch.zeros(()))  # log

    def forward(self, a: DeviceTensors, b: DeviceTensors) -> Tensor:
        """Shape (A, B)."""
        weight = self.weight.exp()
        near = nearness(a.shape, b.shape, self.length.exp())
        return weight[0] + weight[1] * near + weight[2] * a.shape @ b.shape.T

    def own(self, a: DeviceTensors) -> Tensor:
        """The covariance of each device with itself, shape (A,)."""
        weight = self.weight.exp()
        return weight[0] + weight[1] + weight[2] * a.shape.square().sum(1)


class Ridge(nn.Module):
    """Regression on known rows with learned noise: the weights that each of them gets."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = nn.Parameter(torch.tensor(noise))  # log, relative to the mean covariance

    def inverse(self, inner: Tensor) -> Tensor:
        """The inverse (B, B) of the covariance of the known with its noise."""
        noise = (self.noise.exp() + JITTER) * inner.diagonal().mean()
        return torch.linalg.inv(inner + noise * torch.eye(len(inner), dtype=inner.dtype))


class Residual(nn.Module):
    """A small network for what is left: the product of a model tower and a device tower."""

    def __init__(self, model_width: int, device_width: int, width: int = 24, out: int = 8) -> None:
        super().__init__()
        self.model = _tower(model_width, width, out + 1)
        self.device = _tower(device_width, width, out + 1)

    def forward(self, models: ModelTensors, devices: DeviceTensors) -> Tensor:
        """Corrections (M, D)."""
        traits = torch.cat([models.shares, models.spread, models.sizes], 1)
        u, v = self.model(traits), self.device(devices.shape)
        return u[:, 1:] @ v[:, 1:].T + u[:, :1] + v[:, :1].T


class Gate(nn.Module):
    """How much of the corrections to believe: all near the known, none far from everything."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([1.0, 1.0]))
        self.bias = nn.Parameter(torch.tensor(1.0))

    def forward(self, model: Tensor, device: Tensor) -> Tensor:
        """Factors (M, D) in (0, 1) from how well the known explain each side, in [0, 1]."""
        slope = functional.softplus(self.slope)
        return torch.sigmoid(self.bias + slope[0] * model[:, None] + slope[1] * device[None, :])


class ErrorCovariance(nn.Module):
    """How mistakes on one device go together: what an observed model says about another.

    The covariance of a Gaussian process over models whose mean is the prediction so far: a part
    that all models share (the device is slower than it looked) and one that alike models share.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernel = ModelKernel()
        self.level = nn.Parameter(torch.tensor(-4.0))  # log
        self.scale = nn.Parameter(torch.tensor(-2.5))  # log
        self.noise = nn.Parameter(torch.tensor(-4.0))  # log variance of one observation

    def forward(self, a: ModelTensors, b: ModelTensors) -> Tensor:
        """Shape (A, B)."""
        return self.level.exp() + self.scale.exp() * self.kernel(a, b)

    def own(self, a: ModelTensors) -> Tensor:
        """The variance of each model's mistake before anything is observed, shape (A,)."""
        return self.level.exp() + self.scale.exp() * self.kernel.own(a)


def _costs(models: ModelTensors) -> Tensor:
    """The share of time of each term: how log time moves with the cost of that term."""
    return models.shares.square()


def _slopes(models: ModelTensors) -> Tensor:
    """The same for the power of the nodes' size."""
    return models.shares.square() * models.size


def nearness(a: Tensor, b: Tensor, length: Tensor) -> Tensor:
    """Squared exponential of the distances between rows, shape (A, B)."""
    apart = a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T
    return torch.exp(-apart.clamp_min(0) / (2 * length.square()))


def _tower(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two layers, the last starting near zero."""
    last = nn.Linear(width, outputs)
    nn.init.normal_(last.weight, std=0.02)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Dropout(0.1), last)
