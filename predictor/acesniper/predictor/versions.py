"""Whether vectors are of the versions that a predictor reads."""

from acesniper.domain.device import HardwareVector
from acesniper.domain.errors import VersionMismatch
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.probe_matrix import Suite


def check_versions(model: ModelFeatures, device: HardwareVector, suite: Suite) -> None:
    """Raise VersionMismatch, saying what to do, unless both can be read."""
    if model.version != FEATURES_VERSION:
        raise VersionMismatch(
            f"the model's features have version {model.version!r}, this predictor reads"
            f" {FEATURES_VERSION!r}; profile the model again"
        )
    own = (suite.name, suite.version)
    if (device.suite, device.version) != own:
        raise VersionMismatch(
            f"the device was probed with {device.suite} {device.version}, this predictor"
            f" reads {' '.join(own)}; probe it again"
        )
