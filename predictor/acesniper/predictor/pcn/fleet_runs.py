"""Devices, models and remembered runs of a cluster, as training data."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acesniper.api import convert
from acesniper.api.objects import namespaced_key
from acesniper.api.v1alpha1 import DeviceProfile, ModelProfile
from acesniper.domain.device import HardwareVector
from acesniper.domain.latency_history import ObservedRun, observed_latencies
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import ModelKey
from acesniper.predictor.base import Observation
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.pcn.inputs import device_inputs
from acesniper.predictor.probe_matrix import Suite

MAX_DEVICES, MAX_MODELS = 48, 48
"""Those with the most runs are kept: a network's file grows with the square of its models, and has
to fit into a ConfigMap."""
MAX_VARIANCE = 0.02
"""Latencies of a larger variance (log seconds, squared) are unconfirmed, and not trained on."""


@dataclass(frozen=True, slots=True)
class DeviceRuns:
    """A probed device, and its runs of profiled models, oldest first."""

    name: str
    runtime: str
    vector: HardwareVector
    runs: Sequence[ObservedRun]


@dataclass(frozen=True, slots=True)
class FleetRuns:
    """Devices with runs, and the models that ran."""

    devices: Sequence[DeviceRuns]
    models: Mapping[ModelKey, ModelFeatures]

    @classmethod
    def of(
        cls,
        objects: Iterable[Mapping[str, Any]],
        suite: Suite,
        max_devices: int = MAX_DEVICES,
        max_models: int = MAX_MODELS,
    ) -> "FleetRuns":
        """Read DeviceProfiles and ModelProfiles as the API server stores them; skip other kinds.

        Skipped are devices probed by another suite, models profiled by another version, runs of
        deleted models, and devices and models beyond the limits, with the fewest runs.

        Raises:
            InvalidInput: a profile does not match its schema.
        """
        devices, models = [], {}
        for manifest in objects:
            if manifest.get("kind") == "DeviceProfile":
                devices.append(convert.parse_resource(DeviceProfile, manifest))
            elif manifest.get("kind") == "ModelProfile":
                profile = convert.parse_resource(ModelProfile, manifest)
                found = convert.model_features(profile)
                if found is not None and found.version == FEATURES_VERSION:
                    metadata = profile.metadata
                    models[ModelKey(namespaced_key(metadata["namespace"], metadata["name"]))] = (
                        found
                    )
        seen = [
            device
            for device in (_device_runs(profile, models, suite) for profile in devices)
            if device
        ]
        counted = Counter(run.model for device in seen for run in device.runs)
        often = {key for key, _ in counted.most_common(max_models)}
        used = [
            replace(device, runs=[run for run in device.runs if run.model in often])
            for device in seen
        ]
        used.sort(key=lambda device: (-len(device.runs), device.name))
        kept = [device for device in used if device.runs][:max_devices]
        return cls(kept, {key: models[key] for key in sorted(often)})

    @property
    def runs(self) -> int:
        """The number of runs of all devices."""
        return sum(len(device.runs) for device in self.devices)

    def split(self, recent: float) -> tuple["FleetRuns", "FleetRuns"]:
        """Split into older runs and the newest share `recent` of all; devices and models stay."""
        ends = sorted(run.at_s for device in self.devices for run in device.runs)
        first = min(round((1 - recent) * len(ends)), len(ends) - 1)
        since_s = ends[first] if ends else 0.0
        old, new = (
            [
                replace(device, runs=[run for run in device.runs if (run.at_s >= since_s) is late])
                for device in self.devices
            ]
            for late in (False, True)
        )
        return replace(self, devices=old), replace(self, devices=new)

    def latencies(self) -> np.ndarray:
        """Log seconds by model and device (M, D); NaN without a confirmed latency."""
        position = {key: number for number, key in enumerate(self.models)}
        log_s = np.full((len(self.models), len(self.devices)), np.nan)
        for column, device in enumerate(self.devices):
            for latency in observed_latencies(device.runs):
                if latency.variance <= MAX_VARIANCE:
                    log_s[position[latency.model], column] = np.log(latency.latency_s)
        return log_s

    def observations(self, device: DeviceRuns) -> list[Observation]:
        """The observations of a device, as a predictor takes them."""
        return [
            Observation(self.models[latency.model], latency.latency_s, latency.variance)
            for latency in observed_latencies(device.runs)
        ]


def _device_runs(
    profile: DeviceProfile, models: Mapping[ModelKey, ModelFeatures], suite: Suite
) -> DeviceRuns | None:
    vector = convert.to_hardware_vector(profile.status)
    if vector is None or (vector.suite, vector.version) != (suite.name, suite.version):
        return None
    inputs = device_inputs([vector], suite)
    if not (np.isfinite(inputs.seconds).all() and np.isfinite(inputs.shape).all()):
        return None
    observed = convert.observed_runs(profile.status)
    # A network is for all namespaces: it is not trained on what containers of tasks report.
    runs = [run for run in observed if run.shared and run.model in models]
    runtime = profile.status.runtime or profile.spec.provider
    return DeviceRuns(str(profile.metadata["name"]), runtime, vector, runs)
