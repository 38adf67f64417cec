"""Predictions from a file instead of the network, for benchmarks and custom predictors.

The file is a CSV with the columns `device, model, latency_s, low_s, high_s`: seconds of one
inference and the ends of its 90 % interval. Vectors carry no names, so a device that is listed has
one reading, named as it is in the file, and a model that is listed is alike to that name only.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.errors import InvalidInput
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Explanation, Prediction
from acesniper.predictor.base import LatencyArrays, Observation, Observations, corrected_table

SUITE = "listed"
"""The probe suite of a listed device's profile, whatever its version."""
NAN = float("nan")

Pair = tuple[str, str]


class CsvPredictor:
    """Knows the pairs of a file and no others."""

    source = "listed"

    def __init__(self, known: Mapping[Pair, Prediction]) -> None:
        """`known` is by device and model."""
        self._known = known

    @classmethod
    def read(cls, path: Path) -> "CsvPredictor":
        """The predictions in a file.

        Raises:
            InvalidInput: it is not readable, a column is missing, or an interval is none.
        """
        try:
            with path.open(newline="", encoding="utf-8") as file:
                return cls(dict(_pair(row) for row in csv.DictReader(file)))
        except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"{path} is no list of predictions: {error!r}") from error

    def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
        """What the file says of a pair."""
        if device.suite != SUITE or len(device.readings) != 1:
            return None
        alike = [name for name, likeness in model.similar.items() if likeness == 1.0]
        return self._known.get((next(iter(device.readings)), alike[0])) if alike else None

    def predict_all(
        self, models: Sequence[ModelFeatures], devices: Sequence[HardwareVector]
    ) -> Sequence[Sequence[Prediction | None]]:
        """What it says of all pairs, a row per model."""
        return [[self.predict(model, device) for device in devices] for model in models]

    def table(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyArrays:
        """The same as arrays, following what was observed; intervals are symmetric in log."""
        found = [
            (prediction.latency_s, np.log(prediction.high_s / prediction.low_s) / 2)
            if prediction
            else (NAN, NAN)
            for row in self.predict_all(models, devices)
            for prediction in row
        ]
        cells = np.array(found, float).reshape(len(models), len(devices), 2)
        return corrected_table(LatencyArrays(cells[..., 0], cells[..., 1]), models, observed)

    def explain(
        self, model: ModelFeatures, device: HardwareVector, observed: Sequence[Observation] = ()
    ) -> Explanation | None:
        """The prediction; a file gives no reasons."""
        found = self.predict(model, device)
        return Explanation(found, {}) if found else None


def _pair(row: Mapping[str, str]) -> tuple[Pair, Prediction]:
    latency_s, low_s, high_s = (float(row[name]) for name in ("latency_s", "low_s", "high_s"))
    if not 0.0 < low_s <= latency_s <= high_s < float("inf"):
        raise ValueError(f"latency_s {latency_s} is not within low_s {low_s} and high_s {high_s}")
    pair = row["device"], row["model"]
    return pair, Prediction(latency_s, low_s, high_s, CsvPredictor.source)
