"""The whole network: physics, corrected by similarity and a residual as far as a gate allows.

    log t = physics + gate x (similarity + residual)

Similarity is a Gaussian process over pairs of model and device whose covariance is the product of
two kernels (Bonilla et al., "Multi-task Gaussian process prediction", 2007): what physics missed on
known networks and devices, carried over to alike ones. Ours: that physics comes first, and that the
whole is trained so as to be right about families and runtimes that it is not shown.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from acesniper.predictor.pcn.model import (
    DeviceKernel,
    DeviceTensors,
    ErrorCovariance,
    Gate,
    ModelKernel,
    ModelTensors,
    Physics,
    Residual,
    Ridge,
)

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

    def take(self, models: Tensor, devices: Tensor) -> "Known":
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
