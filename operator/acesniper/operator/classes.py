"""What a model is predicted to take per class of device: a summary for people."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

from acesniper.api import convert
from acesniper.api.v1alpha1 import DeviceClassLatency, DeviceProfile
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Predictor

DIGITS = 4
"""Significant digits kept: a profile is not written again for less."""


def class_latencies(
    predictor: Predictor, model: ModelFeatures, devices: Iterable[DeviceProfile]
) -> list[DeviceClassLatency]:
    """Fastest, median and slowest predicted latency per provider and architecture."""
    by_class: dict[str, list[float]] = defaultdict(list)
    vectors = [(each, convert.to_hardware_vector(each.status)) for each in devices]
    measured = [(device, vector) for device, vector in vectors if vector is not None]
    row = predictor.predict_all([model], [vector for _, vector in measured])[0]
    for (device, _), prediction in zip(measured, row, strict=True):
        if prediction is not None:
            name = f"{device.spec.provider}/{device.status.architecture or 'unknown'}"
            by_class[name].append(float(f"{prediction.latency_s:.{DIGITS}g}"))
    return [
        DeviceClassLatency(
            device_class=name,
            devices=len(latencies),
            fastest_seconds=min(latencies),
            median_seconds=median(latencies),
            slowest_seconds=max(latencies),
        )
        for name, latencies in sorted(by_class.items())
    ]
