"""The training data: an atlas, and optionally the runs of a cluster, as arrays and tensors."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from acesniper.domain.device import HardwareVector
from acesniper.domain.errors import InvalidInput
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.atlas.latencies import read_latencies
from acesniper.predictor.atlas.networks import network_index
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.pcn.fleet_runs import FleetRuns
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
from acesniper.predictor.probe_matrix import Suite, known_suite
from acesniper.predictor.similarity import known_networks

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

    def take(self, models: np.ndarray, devices: np.ndarray) -> "AtlasDataset":
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
    return ModelTensors(*(torch.tensor(array) for array in arrays))


def device_tensors(inputs: DeviceInputs, by: Scales) -> DeviceTensors:
    """Devices as tensors, scaled."""
    arrays = (inputs.seconds, inputs.shape / by.shape_scale, inputs.unusual)
    return DeviceTensors(*(torch.tensor(array) for array in arrays))


def atlas_dataset(folder: Path | None = None, fleet: FleetRuns | None = None) -> AtlasDataset:
    """The atlas in `folder` (latencies.parquet, platforms.json) or the shipped one.

    With a `fleet`, its devices and models are added to those of the atlas.

    Raises InvalidInput where a network is unknown to the library or pyarrow is missing.
    """
    content, known, families = read_latencies(folder), known_networks(), network_index()
    unknown = [name for name in content.networks if name not in known]
    if unknown:
        raise InvalidInput(
            f"the library lacks {', '.join(unknown[:3])}; run python -m"
            " acesniper.predictor.atlas.networks"
        )
    found = fleet or FleetRuns((), {})
    networks = [(name, families[name]["family"], known[name]) for name in content.networks]
    # The family of a cluster's model is unknown: it is a family of its own.
    networks += [(key, key, features) for key, features in found.models.items()]
    platforms = [
        (platform.name, platform.runtime, platform.vector, platform.noise_floor)
        for platform in content.platforms
    ]
    nan = float("nan")
    platforms += [
        (f"device {device.name}", device.runtime, device.vector, nan) for device in found.devices
    ]
    log_s = block_diagonal(content.log_s, found.latencies())
    return build_dataset(networks, reference_features(), platforms, log_s, known_suite())


def block_diagonal(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Both along the diagonal, nothing known elsewhere."""
    rows, columns = one.shape
    both = np.full((rows + other.shape[0], columns + other.shape[1]), np.nan)
    both[:rows, :columns], both[rows:, columns:] = one, other
    return both


def reference_features() -> list[ModelFeatures]:
    """The suite's whole networks as models, in the order of `inputs.reference_names`."""
    text = (files("acesniper.predictor") / "references.json").read_text(encoding="utf-8")
    content = json.loads(text)
    if content["features_version"] != FEATURES_VERSION:
        raise InvalidInput("references.json is stale: python -m acesniper.probe.workloads")
    networks = content["networks"]
    return [
        ModelFeatures(FEATURES_VERSION, **networks[name]) for name in reference_names(known_suite())
    ]
