"""An atlas as the network learns from it: tensors, families and runtimes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.pcn.inputs import (
    DeviceInputs,
    ModelInputs,
    Scales,
    device_inputs,
    model_inputs,
    reference_names,
    scales,
)
from acesniper.predictor.pcn.model import DeviceTensors, KnownLatencies, ModelTensors
from acesniper.predictor.probe_matrix import Suite

REFERENCE_FAMILY = "reference"
"""The family of the suite's whole networks: they run on every probed device, are never hidden."""


@dataclass(frozen=True, slots=True, eq=False)
class AtlasDataset:
    """Networks (the references last) and platforms, with what was measured: `log_s` (N, K), or NaN.

    `names` and `families` (N,), `platforms` and `runtimes` (K,); `floor` (K,) is the noise of each
    platform: the median relative difference of two measurements.
    """

    names: np.ndarray
    families: np.ndarray
    platforms: np.ndarray
    runtimes: np.ndarray
    log_s: np.ndarray
    models: ModelInputs
    devices: DeviceInputs
    floor: np.ndarray

    @property
    def reference(self) -> np.ndarray:
        """Which of the networks are the suite's."""
        return np.asarray(self.families == REFERENCE_FAMILY)

    @property
    def scales(self) -> Scales:
        """What inputs are divided by: from this dataset alone."""
        return scales(self.models, self.devices)

    def take(self, models: np.ndarray, devices: np.ndarray) -> "Dataset":
        """Some of the networks and platforms."""
        return AtlasDataset(
            self.names[models],
            self.families[models],
            self.platforms[devices],
            self.runtimes[devices],
            self.log_s[np.ix_(models, devices)],
            self.models.take(models),
            self.devices.take(devices),
            self.floor[devices],
        )

    def known(self, by: Scales | None = None) -> KnownLatencies:
        """As tensors, scaled."""
        used = by or self.scales
        return KnownLatencies(
            model_tensors(self.models, used),
            device_tensors(self.devices, used),
            torch.tensor(np.nan_to_num(self.log_s)),
            torch.tensor(np.isfinite(self.log_s)),
        )

    def widths(self) -> tuple[int, int, int]:
        """Terms, traits of a model, probes: what a network is built for."""
        m = self.models
        traits = m.shares.shape[1] + m.spread.shape[1] + m.sizes.shape[1]
        return m.work.shape[1], traits, self.devices.shape.shape[1]


def build_dataset(
    networks: Sequence[tuple[str, str, ModelFeatures]],
    references: Sequence[ModelFeatures],
    platforms: Sequence[tuple[str, str, HardwareVector, float]],
    log_s: np.ndarray,
    suite: Suite,
) -> AtlasDataset:
    """Everything measured in one place: `log_s` has the shape (networks, platforms).

    Networks are (name, family, features), platforms (name, runtime, vector, noise floor);
    `references` are the suite's own networks.
    """
    devices = device_inputs([vector for _, _, vector, _ in platforms], suite)
    names = reference_names(suite)
    models = [features for _, _, features in networks]
    return AtlasDataset(
        names=np.array([name for name, _, _ in networks] + list(names)),
        families=np.array([family for _, family, _ in networks] + [REFERENCE_FAMILY] * len(names)),
        platforms=np.array([name for name, _, _, _ in platforms]),
        runtimes=np.array([runtime for _, runtime, _, _ in platforms]),
        log_s=np.vstack([log_s, devices.references.T]),
        models=model_inputs([*models, *references], suite),
        devices=devices,
        floor=np.array([floor for _, _, _, floor in platforms]),
    )


def model_tensors(inputs: ModelInputs, by: Scales) -> ModelTensors:
    """Models as tensors, scaled."""
    scaled = (inputs.sizes - by.sizes_mean) / by.sizes_scale
    arrays = (inputs.work, inputs.size, inputs.shares, inputs.spread, scaled)
    return ModelTensors(*(torch.tensor(each) for each in arrays))


def device_tensors(inputs: DeviceInputs, by: Scales) -> DeviceTensors:
    """Devices as tensors, scaled."""
    arrays = (inputs.seconds, inputs.shape / by.shape_scale, inputs.unusual)
    return DeviceTensors(*(torch.tensor(each) for each in arrays))
