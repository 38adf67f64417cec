"""The latency table: every known model on every measured device, computed when either changes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan

import numpy as np

from acesniper.domain.device import Device, DeviceId, HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.ports import Predictor
from acesniper.domain.prediction import Prediction
from acesniper.domain.task import ModelKey
from acesniper.policies.estimates import Row

log = logging.getLogger(__name__)


@dataclass(slots=True)
class LatencyTable:
    """`latency[model][device]`; pairs that cannot be predicted are absent, models are not."""

    predictor: Predictor
    latency: dict[ModelKey, dict[DeviceId, Prediction]] = field(default_factory=dict)
    _features: dict[ModelKey, ModelFeatures] = field(default_factory=dict)
    _hardware: dict[DeviceId, HardwareVector] = field(default_factory=dict)

    def features(self, model: ModelKey) -> ModelFeatures | None:
        """What is known of a model, None if nothing is."""
        return self._features.get(model)

    def row(self, model: ModelKey, devices: Sequence[Device]) -> Row:
        """A model's latency on each of `devices`, as arrays."""
        known = self.latency[model]
        found = [known.get(each.id) for each in devices]
        cells = [(p.latency_s, p.low_s, p.high_s) if p else (nan, nan, nan) for p in found]
        source = next((each.source for each in found if each), "")
        latency_s, low_s, high_s = np.array(cells, float).reshape(-1, 3).T
        return Row(latency_s, low_s, high_s, source)

    def set_model(self, model: ModelKey, found: ModelFeatures | None) -> None:
        """Predict a row anew; None removes it."""
        if found == self._features.get(model):
            return
        self._features.pop(model, None)
        self.latency.pop(model, None)
        if found is None:
            return
        self._features[model] = found
        row = self.predictor.predict_all([found], list(self._hardware.values()))[0]
        pairs = zip(self._hardware, row, strict=True)
        self.latency[model] = {device: value for device, value in pairs if value is not None}
        if self._hardware and not self.latency[model]:
            log.warning("model %s (features %s): no prediction on any device", model, found.version)

    def set_device(self, device: DeviceId, vector: HardwareVector | None) -> None:
        """Predict a column anew; None removes it."""
        if vector == self._hardware.get(device):
            return
        self._hardware.pop(device, None)
        for row in self.latency.values():
            row.pop(device, None)
        if vector is None:
            return
        self._hardware[device] = vector
        column = self.predictor.predict_all(list(self._features.values()), [vector])
        found = [(name, row[0]) for name, row in zip(self._features, column, strict=True)]
        for model, value in found:
            if value is not None:
                self.latency[model][device] = value
        if found and all(value is None for _, value in found):
            log.warning("device %s (suite %s): no prediction of any model", device, vector.version)
