"""What a prediction is about: a model and devices, from files or by name from the cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from acesniper.api.reasons import ConditionType
from acesniper.cli.connection import Connection
from acesniper.domain.device import HardwareVector
from acesniper.domain.errors import InvalidInput
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import ModelKey

if TYPE_CHECKING:
    from acesniper.api.objects import Json
    from acesniper.extender.latency_table import MeasuredDevice
    from acesniper.predictor.base import Observation
    from acesniper.runtime.client import Cluster


@dataclass(frozen=True, slots=True)
class Subject:
    """A device as the predictor is told of it: its vector, and what ran there since.

    `interval_factor` is by how much wider than usual its intervals have to be.
    """

    vector: HardwareVector
    observed: Sequence["Observation"] = ()
    interval_factor: float = 1.0

    def asked_for(self, model: ModelFeatures) -> "Subject":
        """The same with runs of an equal model being of this one: predictors compare no values."""
        observed = [
            replace(each, model=model) if each.model == model else each for each in self.observed
        ]
        return replace(self, observed=observed)


FILES = (".onnx", ".yaml", ".yml", ".json")
"""What a file's name ends with; other dots may be in the name of a node, and so of its devices."""


def is_name(text: str) -> bool:
    """Whether this names an object of the cluster: no path, and no file of that name is here."""
    return "/" not in text and not text.endswith(FILES) and not Path(text).exists()


def model(
    text: str, batch: int, shapes: Mapping[str, int], namespace: str | None, connection: Connection
) -> ModelFeatures:
    """The features of an ONNX file, or of a ModelProfile. Raises InvalidInput."""
    from acesniper.predictor.onnx.sandbox import read_model

    if not is_name(text):
        return read_model(Path(text), batch=batch, shapes=shapes)
    if batch != 1 or shapes:
        raise InvalidInput(
            f"ModelProfile {text} has its own batch and shapes: leave out --batch and --shape,"
            " or give the ONNX file"
        )
    return connection.ask(lambda cluster: _profiled(cluster, text, namespace))


def devices(names: Sequence[str], connection: Connection) -> dict[str, Subject]:
    """Devices from files and folders, and by name from the cluster; all of it for no names."""
    found: dict[str, Subject] = {}
    asked = [name for name in names if is_name(name)]
    for name in names:
        if name not in asked:
            found |= {stem: Subject(vector) for stem, vector in _from_files(name).items()}
    if asked or not names:
        found |= connection.ask(lambda cluster: _from_cluster(cluster, asked))
    if not found:
        raise InvalidInput(f"no measured DeviceProfile in {', '.join(names) or 'the cluster'}")
    return found


def _from_files(name: str) -> dict[str, HardwareVector]:
    from acesniper.probe.profiles import read_profile

    path = Path(name)
    if path.is_dir():
        return {each.stem: read_profile(each).vector for each in sorted(path.glob("*.yaml"))}
    if not path.is_file():
        raise InvalidInput(f"there is no file {name}")
    return {path.stem: read_profile(path).vector}


async def _profiled(cluster: "Cluster", name: str, namespace: str | None) -> ModelFeatures:
    from acesniper.api import convert
    from acesniper.api.conditions import find_condition
    from acesniper.api.names import MODEL_PROFILES
    from acesniper.api.v1alpha1 import ModelProfile

    where = namespace or cluster.namespace
    manifest = await cluster.get(MODEL_PROFILES, name, where)
    if manifest is None:
        raise InvalidInput(
            f"there is neither a file {name} nor a ModelProfile of that name in namespace {where}"
        )
    profile = convert.parse_resource(ModelProfile, manifest)
    features = convert.model_features(profile)
    if features is None:
        said = find_condition(profile.status.conditions, ConditionType.PROFILED)
        why = said.message if said else "the operator has not looked at it"
        raise InvalidInput(f"ModelProfile {where}/{name} was not read yet: {why}")
    return features


async def _from_cluster(cluster: "Cluster", names: Sequence[str]) -> dict[str, Subject]:
    """These DeviceProfiles, or all that were measured."""
    from acesniper.api import convert
    from acesniper.api.names import DEVICE_PROFILES
    from acesniper.api.v1alpha1 import DeviceProfile
    from acesniper.extender.latency_table import MeasuredDevice

    manifests = {name: await cluster.get(DEVICE_PROFILES, name) for name in names}
    if not names:
        listed, _ = await cluster.list(DEVICE_PROFILES)
        manifests = {each["metadata"]["name"]: each for each in listed}
    measured: dict[str, MeasuredDevice] = {}
    for name, manifest in manifests.items():
        if manifest is None:
            raise InvalidInput(f"there is neither a file {name} nor a DeviceProfile of that name")
        found = MeasuredDevice.of(convert.parse_resource(DeviceProfile, manifest).status)
        if found is not None:
            measured[name] = found
        elif names:
            raise InvalidInput(f"DeviceProfile {name} was not measured yet: acesniper doctor")
    known = await _observed_models(cluster, measured)
    return {
        name: Subject(each.vector, each.observations(known), each.interval_factor)
        for name, each in measured.items()
    }


async def _observed_models(
    cluster: "Cluster", measured: Mapping[str, "MeasuredDevice"]
) -> dict[ModelKey, ModelFeatures]:
    """The features of the models that ran on these devices, as far as they are still there."""
    from acesniper.api import convert
    from acesniper.api.names import MODEL_PROFILES
    from acesniper.api.v1alpha1 import ModelProfile

    wanted = {each.model for device in measured.values() for each in device.observed_latencies}
    found: dict[ModelKey, ModelFeatures] = {}
    for key in wanted:
        namespace, _, name = key.partition("/")
        manifest: Json | None = await cluster.get(MODEL_PROFILES, name, namespace)
        features = (
            convert.model_features(convert.parse_resource(ModelProfile, manifest))
            if manifest
            else None
        )
        if features is not None:
            found[key] = features
    return found
