from collections.abc import Sequence
from dataclasses import replace
from math import inf, isnan, nan

from acesniper.domain.device import DeviceId, HardwareVector, Reading
from acesniper.domain.evidence import NamespaceHistory
from acesniper.domain.latency_history import ObservedLatency
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Prediction
from acesniper.domain.task import ModelKey
from acesniper.extender.latency_table import LatencyTable
from acesniper.predictor.base import MAX_SPREAD, LatencyArrays, Observations
from acesniper.predictor.namespaces import MeasuredDevice
from builders import WorkPredictor

M, D = ModelKey("ns/m"), DeviceId("d")


def model(work: float) -> ModelFeatures:
    return ModelFeatures("1", {"work": work}, 0.0, 0.0, 0, 0, {}, {})


def hardware(pace: float, version: str = "1", *seen: ObservedLatency) -> MeasuredDevice:
    history = (NamespaceHistory("ns", seen, seen),) if seen else ()
    return MeasuredDevice(HardwareVector("hrm", version, {"pace": Reading(pace, 0.0)}), history)


def seconds(table: LatencyTable) -> dict[str, dict[str, float]]:
    """What a view of the table shows."""
    table.predict_pending()
    seen = table.view()
    columns = seen.columns_of(list(seen.columns))
    return {
        name: {
            device: value
            for device, value in zip(seen.columns, seen.over(name, columns)[0], strict=True)
            if not isnan(value)
        }
        for name in seen.rows
    }


def test_every_model_meets_every_device_in_any_order() -> None:
    first, second = LatencyTable(WorkPredictor()), LatencyTable(WorkPredictor())

    first.set_model(M, model(2.0))
    first.set_device(D, hardware(3.0))
    second.set_device(D, hardware(3.0))
    second.predict_pending()
    second.set_model(M, model(2.0))

    assert seconds(first) == seconds(second) == {"ns/m": {"d": 6.0}}
    assert first.latency_s(M, D) == 6.0


def test_a_changed_model_or_device_is_predicted_again() -> None:
    table = LatencyTable(WorkPredictor())
    table.set_model(M, model(2.0))
    table.set_device(D, hardware(3.0))
    table.predict_pending()

    table.set_device(D, hardware(5.0))
    table.set_model(M, model(10.0))

    assert seconds(table) == {"ns/m": {"d": 50.0}}


def test_a_deleted_model_or_device_leaves_the_table() -> None:
    table = LatencyTable(WorkPredictor())
    table.set_model(M, model(2.0))
    table.set_device(D, hardware(3.0))
    table.predict_pending()

    table.set_device(D, None)
    without_device = seconds(table)
    table.set_model(M, None)

    assert without_device == {"ns/m": {}}
    assert seconds(table) == {}
    assert table.features(M) is None
    assert table.latency_s(M, D) is None


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


def test_the_predictor_receives_the_observed_latencies_of_a_device() -> None:
    class Recording(WorkPredictor):
        received: Observations = ()

        def table(
            self,
            models: Sequence[ModelFeatures],
            devices: Sequence[HardwareVector],
            observed: Observations = (),
        ) -> LatencyArrays:
            self.received = observed
            return super().table(models, devices)

    predictor = Recording()
    table = LatencyTable(predictor)
    table.set_model(M, model(2.0))
    gone = ObservedLatency(ModelKey("ns/gone"), 1.0, 0.0)
    table.set_device(D, hardware(3.0, "1", ObservedLatency(M, 7.0, 0.01), gone))
    table.predict_pending()

    from_probe, (latency,) = predictor.received
    assert from_probe == ()
    assert (latency.model, latency.latency_s, latency.variance) == (model(2.0), 7.0, 0.01)


def test_a_device_that_needs_wider_intervals_gets_them() -> None:
    table = LatencyTable(WorkPredictor())
    table.set_model(M, model(2.0))
    usual = hardware(3.0)
    table.set_device(D, usual)
    table.set_device(DeviceId("restless"), replace(usual, interval_factor=2.0))
    table.predict_pending()

    seen = table.view()
    latency, spread = seen.over(M, seen.columns_of([D, DeviceId("restless")]))

    assert latency[0] == latency[1]
    assert spread[1] == 2 * spread[0] > 0


def test_all_that_is_new_is_predicted_in_one_call() -> None:
    class Counting(WorkPredictor):
        calls = 0

        def table(
            self,
            models: Sequence[ModelFeatures],
            devices: Sequence[HardwareVector],
            observed: Observations = (),
        ) -> LatencyArrays:
            self.calls += 1
            return super().table(models, devices, observed)

    predictor = Counting()
    table = LatencyTable(predictor)
    for number in range(10):
        table.set_device(DeviceId(f"d{number}"), hardware(1.0 + number))
        table.set_model(ModelKey(f"ns/m{number}"), model(1.0 + number))
    table.predict_pending()
    table.predict_pending()

    assert predictor.calls == 1


def test_a_replaced_network_predicts_every_pair_again() -> None:
    class Replaced(WorkPredictor):
        slower = 1.0

        def table(
            self,
            models: Sequence[ModelFeatures],
            devices: Sequence[HardwareVector],
            observed: Observations = (),
        ) -> LatencyArrays:
            found = super().table(models, devices, observed)
            return found._replace(latency=self.slower * found.latency)

    predictor = Replaced()
    table = LatencyTable(predictor)
    table.set_model(M, model(2.0))
    table.set_device(D, hardware(3.0))
    in_the_making = table.pending()
    assert in_the_making is not None
    by_the_old = in_the_making.predicted(predictor)

    predictor.slower = 10.0
    table.invalidate()
    table.commit(by_the_old)

    assert seconds(table) == {"ns/m": {"d": 60.0}}


def test_what_changes_while_it_is_predicted_stays_new() -> None:
    table = LatencyTable(WorkPredictor())
    table.set_model(M, model(2.0))
    table.set_device(D, hardware(3.0))
    news = table.pending()
    assert news is not None
    table.set_device(D, hardware(5.0))
    table.set_device(DeviceId("late"), hardware(1.0))

    table.commit(news.predicted(table.predictor))

    assert table.latency_s(M, D) is None, "not of the vector that it has no more"
    assert seconds(table) == {"ns/m": {"d": 10.0, "late": 2.0}}


def test_a_view_does_not_change() -> None:
    table = LatencyTable(WorkPredictor())
    table.set_model(M, model(2.0))
    table.set_device(D, hardware(3.0))
    table.predict_pending()
    seen = table.view()
    column = seen.columns_of([D])

    table.set_device(D, hardware(5.0))
    table.predict_pending()
    table.set_device(D, None)
    table.set_device(DeviceId("other"), hardware(7.0))
    table.predict_pending()

    assert seen.over(M, column)[0].tolist() == [6.0]
    assert seconds(table) == {"ns/m": {"other": 14.0}}


def test_latencies_outside_the_valid_range_are_unknown() -> None:
    table = LatencyTable(WorkPredictor())
    table.set_model(M, model(1.0))
    for pace in (1e-30, 1e30, inf, nan):
        table.set_device(DeviceId(str(pace)), hardware(pace))
    table.set_device(D, hardware(3.0))

    assert seconds(table) == {"ns/m": {"d": 3.0}}


def test_an_interval_is_a_number_however_little_is_known() -> None:
    table = LatencyTable(WorkPredictor())
    table.set_model(M, model(1.0))
    table.set_device(D, replace(hardware(3.0), interval_factor=1e4))
    table.predict_pending()

    _, (spread,) = table.view().over(M, table.view().columns_of([D]))
    assert spread == MAX_SPREAD
