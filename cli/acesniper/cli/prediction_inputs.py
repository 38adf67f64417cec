"""Inputs of a prediction: a model and devices, from files or by name from the cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from acesniper.cli.connection import Connection
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.domain.device import HardwareVector
    from acesniper.domain.model import ModelFeatures
    from acesniper.domain.task import ModelKey
    from acesniper.predictor.base import LatencyPredictor
    from acesniper.predictor.namespaces import MeasuredDevice, NamespaceView
    from acesniper.runtime.client import Cluster

FILE_SUFFIXES = (".onnx", ".yaml", ".yml", ".json")
"""Names of nodes, and so of their devices, may have other dots."""


@dataclass(frozen=True, slots=True)
class PredictionDevice:
    """A device as the predictor sees it.

    Attributes:
        vector: Its readings.
        interval_factor: The factor by which its prediction intervals are widened.
        measured: What tasks of all namespaces observed on it since; None for a file.
        namespace: The namespace that predictions are made for.
        known: The features of the models that ran on it.
    """

    vector: "HardwareVector"
    interval_factor: float = 1.0
    measured: "MeasuredDevice | None" = None
    namespace: str = ""
    known: "Mapping[ModelKey, ModelFeatures]" = field(default_factory=dict)

    def view(self, predictor: "LatencyPredictor", features: "ModelFeatures") -> "NamespaceView":
        """How the namespace predicts this model on the device."""
        import numpy as np

        from acesniper.predictor.namespaces import NamespaceView, namespace_view

        if self.measured is None:
            return NamespaceView(np.zeros(1), (), self.interval_factor)
        return namespace_view(predictor, self.measured, self.namespace, [features], self.known)


def is_object_name(text: str) -> bool:
    """Whether a text names an object of the cluster: it is no path, and no such file exists."""
    return "/" not in text and not text.endswith(FILE_SUFFIXES) and not Path(text).exists()


def load_model(
    text: str, batch: int, shapes: Mapping[str, int], namespace: str | None, connection: Connection
) -> "ModelFeatures":
    """The features of an ONNX file or of a ModelProfile.

    Raises:
        InvalidInput: neither exists, or a ModelProfile is combined with a batch or shapes.
    """
    if not is_object_name(text):
        from acesniper.predictor.onnx.sandbox import read_model

        return read_model(Path(text), batch=batch, shapes=shapes)
    if batch != 1 or shapes:
        raise InvalidInput(
            f"--batch and --shape do not apply to ModelProfile {text}, whose spec sets both: omit"
            " them, or pass the ONNX file"
        )
    return connection.run(lambda cluster: _profiled_features(cluster, text, namespace))


def load_devices(
    names: Sequence[str], connection: Connection, namespace: str | None = None
) -> dict[str, PredictionDevice]:
    """Devices from files, from folders, and by name from the cluster; no names mean all of it.

    Predictions for devices of the cluster are those of `namespace`.

    Raises:
        InvalidInput: a file or object does not exist, or no device was measured.
    """
    devices: dict[str, PredictionDevice] = {}
    in_cluster = [name for name in names if is_object_name(name)]
    for name in names:
        if name not in in_cluster:
            vectors = _read_vectors(Path(name))
            devices |= {stem: PredictionDevice(vector) for stem, vector in vectors.items()}
    if in_cluster or not names:
        devices |= connection.run(lambda cluster: _fetch_devices(cluster, in_cluster, namespace))
    if not devices:
        raise InvalidInput(f"no measured DeviceProfile in {', '.join(names) or 'the cluster'}")
    return devices


def _read_vectors(path: Path) -> "dict[str, HardwareVector]":
    from acesniper.probe.profiles import read_profile

    if path.is_dir():
        return {file.stem: read_profile(file).vector for file in sorted(path.glob("*.yaml"))}
    if not path.is_file():
        raise InvalidInput(f"--device {path}: the file does not exist")
    return {path.stem: read_profile(path).vector}


async def _profiled_features(
    cluster: "Cluster", name: str, namespace: str | None
) -> "ModelFeatures":
    from acesniper.api import convert
    from acesniper.api.names import MODEL_PROFILES
    from acesniper.api.reasons import ConditionType
    from acesniper.api.v1alpha1 import ModelProfile, find_condition

    profile_namespace = namespace or cluster.namespace
    manifest = await cluster.get(MODEL_PROFILES, name, profile_namespace)
    if manifest is None:
        raise InvalidInput(
            f"{name!r} is neither a file nor a ModelProfile in namespace {profile_namespace}"
        )
    profile = convert.parse_resource(ModelProfile, manifest)
    features = convert.model_features(profile)
    if features is None:
        profiled = find_condition(profile.status.conditions, ConditionType.PROFILED)
        reason = profiled.message if profiled else "the operator did not reconcile it"
        raise InvalidInput(f"ModelProfile {profile_namespace}/{name} is not profiled: {reason}")
    return features


async def _fetch_devices(
    cluster: "Cluster", names: Sequence[str], namespace: str | None
) -> dict[str, PredictionDevice]:
    """The named DeviceProfiles, or all measured ones."""
    from acesniper.api import convert
    from acesniper.api.names import DEVICE_PROFILES
    from acesniper.api.v1alpha1 import DeviceProfile
    from acesniper.predictor.namespaces import MeasuredDevice

    manifests = {name: await cluster.get(DEVICE_PROFILES, name) for name in names}
    if not names:
        profiles, _ = await cluster.list(DEVICE_PROFILES)
        manifests = {profile["metadata"]["name"]: profile for profile in profiles}
    measured: dict[str, MeasuredDevice] = {}
    for name, manifest in manifests.items():
        if manifest is None:
            raise InvalidInput(f"--device {name!r} is neither a file nor a DeviceProfile")
        device = MeasuredDevice.of(convert.parse_resource(DeviceProfile, manifest).status)
        if device is not None:
            measured[name] = device
        elif names:
            raise InvalidInput(
                f"DeviceProfile {name} has no measurement: run `acesniper doctor` to find out why"
            )
    features = await _observed_models(cluster, measured)
    return {
        name: PredictionDevice(
            device.vector,
            device.interval_factor,
            measured=device,
            namespace=namespace or cluster.namespace,
            known=features,
        )
        for name, device in measured.items()
    }


async def _observed_models(
    cluster: "Cluster", measured: "Mapping[str, MeasuredDevice]"
) -> "dict[ModelKey, ModelFeatures]":
    """The features of the models that ran on these devices and still have a ModelProfile."""
    from acesniper.api import convert
    from acesniper.api.names import MODEL_PROFILES
    from acesniper.api.v1alpha1 import ModelProfile

    keys = frozenset().union(*(device.observed_models for device in measured.values()))
    observed: dict[ModelKey, ModelFeatures] = {}
    for key in keys:
        namespace, _, name = key.partition("/")
        manifest = await cluster.get(MODEL_PROFILES, name, namespace)
        if manifest is None:
            continue
        features = convert.model_features(convert.parse_resource(ModelProfile, manifest))
        if features is not None:
            observed[key] = features
    return observed
