"""The network: physics, corrected by similarity and a residual as far as a gate allows.

    log t = physics + gate x (similarity + residual)

Similarity is a Gaussian process over pairs of model and device whose covariance is the product of
two kernels (Bonilla et al., "Multi-task Gaussian process prediction", 2007): the error of physics
on known networks and devices, carried over to similar ones. Each part is a torch module.

Shapes: M models, D devices, N known networks, K known devices, T terms, P probes. All times are
natural logarithms of seconds; all corrections are added to them.
"""

from dataclasses import dataclass, replace
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

    def take(self, rows: Tensor) -> "ModelTensors":
        """Some of the models."""
        return ModelTensors(*(tensor[rows] for tensor in self))


class DeviceTensors(NamedTuple):
    """Devices as tensors: `seconds` (D, T) of the terms' probes, `shape` (D, P) of readings.

    `unusual` (D, T): how far the shape is from usual at the probe of each term.
    """

    seconds: Tensor
    shape: Tensor
    unusual: Tensor

    def take(self, rows: Tensor) -> "DeviceTensors":
        """Some of the devices."""
        return DeviceTensors(*(tensor[rows] for tensor in self))


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
    """Weight of the corrections: 1 near known models and devices, 0 far from all of them."""

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


OPTIONAL_PARTS = ("similarity", "residual", "gate")
"""What may be left out, to see what it is worth."""


class PredictionParts(NamedTuple):
    """A prediction taken apart, each (M, D), log seconds; and how well the known explain each side.

    `model` (M,) and `device` (D,) are in [0, 1]: 1 for what is known, 0 far from everything.
    """

    physics: Tensor
    similarity: Tensor
    residual: Tensor
    gate: Tensor
    model: Tensor
    device: Tensor

    @property
    def mean(self) -> Tensor:
        """The prediction."""
        return self.physics + self.gate * (self.similarity + self.residual)


@dataclass(frozen=True, slots=True, eq=False)
class KnownLatencies:
    """What was measured: `log_s` (N, K), where `measured`; anything where not."""

    models: ModelTensors
    devices: DeviceTensors
    log_s: Tensor
    measured: Tensor

    def take(self, models: Tensor, devices: Tensor) -> "KnownLatencies":
        """Some of the networks and devices."""
        return replace(
            self,
            models=self.models.take(models),
            devices=self.devices.take(devices),
            log_s=self.log_s[models][:, devices],
            measured=self.measured[models][:, devices],
        )


@dataclass(frozen=True, slots=True, eq=False)
class NetworkMemory:
    """The regression on the known, solved: all that a prediction needs of it."""

    models: ModelTensors
    devices: DeviceTensors
    inverse_models: Tensor  # (N, N)
    inverse_devices: Tensor  # (K, K)
    missed: Tensor  # (N, K): inverse_models @ what physics missed @ inverse_devices


class Network(nn.Module):
    """PCN. `parts` are those in use; physics always is."""

    def __init__(
        self, terms: int, traits: int, probes: int, parts: tuple[str, ...] = OPTIONAL_PARTS
    ) -> None:
        super().__init__()
        self.parts = parts
        self.physics = Physics(terms)
        self.model_kernel = ModelKernel()
        self.device_kernel = DeviceKernel()
        self.model_ridge = Ridge(-2.5)
        self.device_ridge = Ridge(-1.0)
        self.residual = Residual(traits, probes)
        self.gate = Gate()
        self.observed = ErrorCovariance()

    def remember(self, known: KnownLatencies) -> NetworkMemory:
        """Solve the regression on the known."""
        missed = self._missed(known)
        models = self.model_ridge.inverse(self.model_kernel(known.models, known.models))
        devices = self.device_ridge.inverse(self.device_kernel(known.devices, known.devices))
        return NetworkMemory(
            known.models, known.devices, models, devices, models @ missed @ devices
        )

    def forward(
        self, models: ModelTensors, devices: DeviceTensors, memory: NetworkMemory
    ) -> PredictionParts:
        """Predict models (M) on devices (D)."""
        physics = self.physics(models, devices)
        near_models = self.model_kernel(models, memory.models)
        near_devices = self.device_kernel(devices, memory.devices)
        model = _explained(near_models, memory.inverse_models) / self.model_kernel.own(models)
        device = _explained(near_devices, memory.inverse_devices) / self.device_kernel.own(devices)
        similarity = near_models @ memory.missed @ near_devices.T
        nothing = torch.zeros_like(physics)
        return PredictionParts(
            physics,
            similarity if "similarity" in self.parts else nothing,
            self.residual(models, devices) if "residual" in self.parts else nothing,
            self.gate(model, device) if "gate" in self.parts else nothing + 1.0,
            model,
            device,
        )

    def _missed(self, known: KnownLatencies) -> Tensor:
        """What physics misses on the known (N, K); a gap is the sum of its row's and column's."""
        missed = known.log_s - self.physics(known.models, known.devices)
        there = known.measured.to(missed.dtype)
        mean = (missed * there).sum() / there.sum()
        rows = ((missed - mean) * there).sum(1) / there.sum(1).clamp_min(1)
        columns = ((missed - mean - rows[:, None]) * there).sum(0) / there.sum(0).clamp_min(1)
        return torch.where(known.measured, missed, mean + rows[:, None] + columns[None])


def _explained(near: Tensor, inverse: Tensor) -> Tensor:
    """The variance that the known explain, for each row."""
    return ((near @ inverse) * near).sum(1)
