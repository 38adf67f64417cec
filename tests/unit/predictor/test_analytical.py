from collections.abc import Mapping
from dataclasses import replace
from math import exp, log

import numpy as np
import pytest

from acesniper.domain.device import HardwareVector, Reading
from acesniper.domain.errors import VersionMismatch
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.analytical import PhysicsPredictor
from acesniper.predictor.base import Observation
from acesniper.predictor.features import FEATURE_NAMES, FEATURES_VERSION
from acesniper.predictor.probe_matrix import known_suite

SUITE = known_suite()
TYPICAL = dict(zip(SUITE.probes, SUITE.typical_s.tolist(), strict=True))


def device(seconds: Mapping[str, float]) -> HardwareVector:
    readings = {name: Reading(value_s, 0.01) for name, value_s in seconds.items()}
    return HardwareVector(SUITE.name, SUITE.version, readings)


def model(**values: float) -> ModelFeatures:
    named = dict.fromkeys(FEATURE_NAMES, 0.0) | {k.replace("__", "."): v for k, v in values.items()}
    return ModelFeatures(FEATURES_VERSION, named, 0.0, 0.0, 0, 0, {"Conv": 1}, {})


CONV = model(conv_wide__flops=4e8, conv_wide__bytes=1e6, conv_wide__nodes=4)
DENSE = model(gemv__flops=3e7, gemv__bytes=6.4e7, gemv__nodes=2)


def test_twice_the_speed_halves_the_latency() -> None:
    slow = PhysicsPredictor().predict(CONV, device(TYPICAL))
    fast = PhysicsPredictor().predict(CONV, device({k: v / 2 for k, v in TYPICAL.items()}))

    assert slow is not None
    assert fast is not None
    assert fast.latency_s == pytest.approx(slow.latency_s / 2)
    assert slow.low_s < slow.latency_s < slow.high_s
    assert slow.source == "physics-1"


def test_a_probe_predicts_itself() -> None:
    probe = SUITE.index("conv_wide_64")
    values = {
        f"{kind}__{measure}": SUITE.work[probe, i, j]
        for i, kind in enumerate(("stem", "conv_wide"))
        for j, measure in enumerate(("flops", "bytes", "nodes"))
    }

    prediction = PhysicsPredictor().predict(model(**values), device(TYPICAL))

    assert prediction is not None
    assert prediction.latency_s == pytest.approx(TYPICAL["conv_wide_64"], rel=0.05)


def test_a_device_slow_at_one_class_is_slow_for_models_of_that_class_only() -> None:
    odd = device(
        {**TYPICAL, **{k: v * 3 for k, v in TYPICAL.items() if "gemv" in k or k == "memory"}}
    )
    conv, dense = PhysicsPredictor().table([CONV, DENSE], [device(TYPICAL), odd]).latency

    assert conv[1] == pytest.approx(conv[0])
    assert dense[1] > 2.5 * dense[0]


def test_a_missing_probe_is_imputed_and_widens_the_interval() -> None:
    whole = {k: v * 4 for k, v in TYPICAL.items()}
    partial = {k: v for k, v in whole.items() if not k.startswith("conv_wide")}

    table = PhysicsPredictor().table([CONV], [device(whole), device(partial)])

    assert table.latency[0, 1] == pytest.approx(table.latency[0, 0], rel=0.05)
    assert table.high[0, 1] / table.low[0, 1] > 1.5 * table.high[0, 0] / table.low[0, 0]


def test_a_chain_contradicted_by_the_whole_networks_is_discarded() -> None:
    wrong = device({**TYPICAL, "matmul": TYPICAL["matmul"] * 30})
    slow = device({**TYPICAL, "matmul": TYPICAL["matmul"] * 3})
    dense = model(matmul__flops=4e8, matmul__bytes=1e6, matmul__nodes=4)

    right, ignored, kept = (
        PhysicsPredictor().table([dense], [device(TYPICAL), wrong, slow]).latency[0]
    )

    assert ignored == pytest.approx(right, rel=0.2)
    assert kept > 2.5 * right


@pytest.mark.parametrize(
    "seconds",
    [{}, {"null": 1e-5, "memory": 1e-3}, dict.fromkeys(TYPICAL, float("nan"))],
    ids=["nothing", "too few", "not numbers"],
)
def test_a_device_with_too_few_readings_is_unknown(seconds: dict[str, float]) -> None:
    assert PhysicsPredictor().predict(CONV, device(seconds)) is None
    assert PhysicsPredictor().explain(CONV, device(seconds)) is None


def test_other_versions_are_rejected_singly_and_unknown_in_a_table() -> None:
    old_model = replace(CONV, version="0")
    old_device = replace(device(TYPICAL), version="0")

    with pytest.raises(VersionMismatch, match="profile the model again"):
        PhysicsPredictor().predict(old_model, device(TYPICAL))
    with pytest.raises(VersionMismatch, match="probe it again"):
        PhysicsPredictor().predict(CONV, old_device)
    table = PhysicsPredictor().table([CONV, old_model], [device(TYPICAL), old_device])
    assert np.isnan(table.latency).tolist() == [[False, True], [True, True]]


def test_the_explanation_adds_up_to_the_prediction() -> None:
    both = model(
        conv_wide__flops=4e8, conv_wide__nodes=4, gemv__bytes=6e7, gemv__nodes=2, fused__bytes=1e6
    )

    explanation = PhysicsPredictor().explain(both, device(TYPICAL))

    assert explanation is not None
    assert explanation.physics_s == pytest.approx(explanation.prediction.latency_s)
    assert list(explanation.parts_s.values()) == sorted(explanation.parts_s.values(), reverse=True)


def test_the_explanation_separates_observations_from_physics() -> None:
    plain = PhysicsPredictor().predict(CONV, device(TYPICAL))
    assert plain is not None
    twice = Observation(CONV, 2 * plain.latency_s, 1e-6)

    explanation = PhysicsPredictor().explain(CONV, device(TYPICAL), [twice])

    assert explanation is not None
    assert explanation.physics_s == pytest.approx(plain.latency_s)
    assert explanation.prediction.latency_s == pytest.approx(
        explanation.physics_s * exp(explanation.observed)
    )
    assert explanation.observed == pytest.approx(log(2), abs=0.01)


def test_custom_operators_widen_the_interval() -> None:
    opaque = replace(model(conv_wide__flops=4e8, conv_wide__nodes=1, unknown__nodes=1))

    table = PhysicsPredictor().table([CONV, opaque], [device(TYPICAL)])

    width = table.high / table.low
    assert width[1, 0] > 2 * width[0, 0]


def test_a_fleet_is_one_matrix() -> None:
    table = PhysicsPredictor().table([CONV] * 1000, [device(TYPICAL)] * 500)

    assert table.latency.shape == table.low.shape == table.high.shape == (1000, 500)


def test_without_models_or_devices_the_table_is_empty() -> None:
    assert PhysicsPredictor().table([], [device(TYPICAL)]).latency.shape == (0, 1)
    assert PhysicsPredictor().table([CONV], []).latency.shape == (1, 0)
