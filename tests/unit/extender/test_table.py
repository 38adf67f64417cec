from acesniper.domain.device import DeviceId, HardwareVector, Reading
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Prediction
from acesniper.domain.task import ModelKey
from acesniper.extender.table import LatencyTable
from builders import WorkPredictor

M, D = ModelKey("ns/m"), DeviceId("d")


def model(work: float) -> ModelFeatures:
    return ModelFeatures("1", {"work": work}, 0.0, 0.0, 0, 0, {}, {})


def hardware(pace: float, version: str = "1") -> HardwareVector:
    return HardwareVector("hrm", version, {"pace": Reading(pace, 0.0)})


def seconds(table: LatencyTable) -> dict[str, dict[str, float]]:
    return {
        name: {device: each.latency_s for device, each in row.items()}
        for name, row in table.latency.items()
    }


def test_every_model_meets_every_device_in_any_order() -> None:
    first, second = LatencyTable(WorkPredictor()), LatencyTable(WorkPredictor())

    first.set_model(M, model(2.0))
    first.set_device(D, hardware(3.0))
    second.set_device(D, hardware(3.0))
    second.set_model(M, model(2.0))

    assert seconds(first) == seconds(second) == {"ns/m": {"d": 6.0}}


def test_a_change_of_either_is_predicted_anew() -> None:
    table = LatencyTable(WorkPredictor())
    table.set_model(M, model(2.0))
    table.set_device(D, hardware(3.0))

    table.set_device(D, hardware(5.0))
    table.set_model(M, model(10.0))

    assert seconds(table) == {"ns/m": {"d": 50.0}}


def test_what_is_gone_is_forgotten() -> None:
    table = LatencyTable(WorkPredictor())
    table.set_model(M, model(2.0))
    table.set_device(D, hardware(3.0))

    table.set_device(D, None)
    without_device = seconds(table)
    table.set_model(M, None)

    assert without_device == {"ns/m": {}}
    assert seconds(table) == {}
    assert table.features(M) is None


def test_a_vector_of_another_version_is_absent_not_an_error() -> None:
    class Strict(WorkPredictor):
        def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
            if device.version != "1":
                return None
            return super().predict(model, device)

    table = LatencyTable(Strict())
    table.set_model(M, model(2.0))
    table.set_device(D, hardware(3.0, version="2"))
    table.set_device(DeviceId("good"), hardware(3.0))

    assert seconds(table) == {"ns/m": {"good": 6.0}}
