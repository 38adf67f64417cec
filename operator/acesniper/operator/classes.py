"""What a model is predicted to take per class of device: a summary for people."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

from acesniper.api import convert
from acesniper.api.v1alpha1 import DeviceClassLatency, DeviceProfile
from acesniper.domain.errors import VersionMismatch
from acesniper.domain.model import ModelFeatures
from acesniper.domain.ports import Predictor

DIGITS = 4
"""Significant digits kept: a profile is not written again for less."""


def class_latencies(
    predictor: Predictor, model: ModelFeatures, devices: Iterable[DeviceProfile]
) -> list[DeviceClassLatency]:
    """Fastest, median and slowest predicted latency per provider and architecture."""
    by_class: dict[str, list[float]] = defaultdict(list)
    for device in devices:
        vector = convert.hardware(device.status)
        if vector is None:
            continue
        try:
            prediction = predictor.predict(model, vector)
        except VersionMismatch:
            continue
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
