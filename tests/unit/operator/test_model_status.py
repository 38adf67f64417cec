from collections.abc import Mapping, Sequence

from acesniper.api.v1alpha1 import (
    DeviceProfile,
    DeviceProfileSpec,
    DeviceProfileStatus,
    DeviceReading,
)
from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Prediction
from acesniper.operator.model_status import class_latencies

MODEL = ModelFeatures("1", {}, 1.0, 1.0, 1, 1, {}, {})


class Echo:
    """Predicts the device's only reading."""

    def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
        if device.version != "1":
            return None
        seconds = device.readings["p"].seconds
        return Prediction(seconds, seconds, seconds, "echo")

    def predict_all(
        self, models: Sequence[ModelFeatures], devices: Sequence[HardwareVector]
    ) -> list[list[Prediction | None]]:
        return [[self.predict(model, device) for device in devices] for model in models]


def profile(name: str, architecture: str, seconds: float, version: str = "1") -> DeviceProfile:
    readings: Mapping[str, DeviceReading] = {"p": DeviceReading(seconds=seconds, spread=0.0)}
    status = DeviceProfileStatus(
        suite="hrm", suite_version=version, readings=dict(readings), architecture=architecture
    )
    return DeviceProfile(metadata={"name": name}, spec=DeviceProfileSpec(node=name), status=status)


def test_latencies_are_summarised_by_provider_and_architecture() -> None:
    devices = [
        profile("a", "arm64", 3.0),
        profile("b", "amd64", 1.0),
        profile("c", "arm64", 2.0),
        profile("d", "arm64", 9.0),
    ]

    latencies = class_latencies(Echo(), MODEL, devices)

    assert [(latency.device_class, latency.devices) for latency in latencies] == [
        ("cpu/amd64", 1),
        ("cpu/arm64", 3),
    ]
    arm = latencies[1]
    assert (arm.fastest_seconds, arm.median_seconds, arm.slowest_seconds) == (2.0, 3.0, 9.0)


def test_devices_that_cannot_be_predicted_are_left_out() -> None:
    unmeasured = DeviceProfile(metadata={"name": "u"}, spec=DeviceProfileSpec(node="u"))

    latencies = class_latencies(Echo(), MODEL, [unmeasured, profile("old", "arm64", 1.0, "0")])

    assert latencies == []
