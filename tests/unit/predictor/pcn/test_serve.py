import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acesniper.domain.device import HardwareVector, Reading
from acesniper.domain.errors import ModelMismatch, VersionMismatch
from acesniper.predictor.analytical import PhysicsPredictor
from acesniper.predictor.base import DRIFTED_SHIFT, PRIOR_SHIFT, Observation
from acesniper.predictor.factory import default_predictor
from acesniper.predictor.gaussian import most_informative
from acesniper.predictor.pcn.batching import BatchLimits
from acesniper.predictor.pcn.conformal import NOVELTY, Band, Calibration
from acesniper.predictor.pcn.inputs import device_inputs
from acesniper.predictor.pcn.network_file import NetworkFile
from acesniper.predictor.pcn.serve import PcnPredictor
from small_atlas import KINDS, REFERENCES, SUITE, make_features, make_vector, write_small

CONV, CONV_TWICE = make_features(KINDS["conv"]), make_features(KINDS["conv"], 2.0)
DENSE = make_features(KINDS["dense"])
DEVICE = make_vector(2.0)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("pcn") / "pcn.onnx")


@pytest.fixture(scope="module")
def predictor(file: Path) -> PcnPredictor:
    return PcnPredictor.load(file)


def without(device: HardwareVector, *names: str) -> HardwareVector:
    kept = {name: reading for name, reading in device.readings.items() if name not in names}
    return replace(device, readings=kept)


def with_readings(device: HardwareVector, **seconds: float) -> HardwareVector:
    new = {name: Reading(reading, 0.01) for name, reading in seconds.items()}
    return replace(device, readings={**device.readings, **new})


def test_single_predictions_equal_those_of_a_table(predictor: PcnPredictor) -> None:
    models = [CONV, CONV_TWICE, DENSE]
    devices = [DEVICE, make_vector(5.0), without(DEVICE, REFERENCES[0])]

    table = predictor.table(models, devices)

    single = [
        [result.latency_s for device in devices if (result := predictor.predict(model, device))]
        for model in models
    ]
    np.testing.assert_allclose(table.latency, single, rtol=1e-4)


def test_a_table_computed_in_blocks_is_unchanged(file: Path, predictor: PcnPredictor) -> None:
    devices = [make_vector(1.0 + i / 10) for i in range(10)]
    small = PcnPredictor.load(file, limits=BatchLimits(cells=30, models=1))

    whole = predictor.table([CONV, DENSE], devices)
    pieces = small.table([CONV, DENSE], devices)

    np.testing.assert_allclose(pieces.latency, whole.latency, rtol=1e-5)
    np.testing.assert_allclose(pieces.spread, whole.spread, rtol=1e-2)


def test_an_observed_model_is_predicted_as_observed(predictor: PcnPredictor) -> None:
    before = predictor.predict(CONV, DEVICE)
    assert before is not None

    after = predictor.predict(CONV, DEVICE, [Observation(CONV, 2 * before.latency_s)] * 20)

    assert after is not None
    assert after.latency_s == pytest.approx(2 * before.latency_s, rel=0.05)
    assert after.high_s / after.low_s < before.high_s / before.low_s


def test_the_own_error_of_a_model_recurs_only_with_that_model(predictor: PcnPredictor) -> None:
    twin = replace(CONV, labels={"another": 1})
    before = predictor.predict(CONV, DEVICE)
    assert before is not None

    made = [Observation(CONV, 1.3 * before.latency_s, 0.001)]
    again, other = (predictor.predict(model, DEVICE, made) for model in (CONV, twin))

    assert again is not None
    assert other is not None
    assert before.latency_s < other.latency_s < again.latency_s <= 1.3 * before.latency_s
    assert again.high_s / again.low_s < other.high_s / other.low_s


def test_a_slow_model_slows_similar_models_more_than_others(predictor: PcnPredictor) -> None:
    models = [CONV_TWICE, DENSE]
    before = predictor.table(models, [DEVICE]).latency[:, 0]
    conv = predictor.predict(CONV, DEVICE)
    assert conv is not None

    made = [Observation(CONV, 3 * conv.latency_s)]
    like, unlike = predictor.table(models, [DEVICE], [made]).latency[:, 0] / before

    assert like > 1.2
    assert like > unlike >= 0.95


def test_a_drifted_device_is_slower_for_all_models(
    predictor: PcnPredictor,
) -> None:
    def slowed(shift: float) -> float:
        """How much slower another model is expected to be after two that took twice their time."""
        before = [predictor.predict(model, DEVICE) for model in (CONV, CONV_TWICE, DENSE)]
        assert all(before)
        latency_s = [prediction.latency_s for prediction in before if prediction is not None]
        seen = [
            Observation(model, 2 * took_s, shift=shift)
            for model, took_s in zip((CONV, CONV_TWICE), latency_s[:2], strict=True)
        ]
        after = predictor.predict(DENSE, DEVICE, seen)
        assert after is not None
        return after.latency_s / latency_s[2]

    assert slowed(DRIFTED_SHIFT) == pytest.approx(2.0, rel=0.1)
    assert 1.0 < slowed(PRIOR_SHIFT) < slowed(DRIFTED_SHIFT)


def test_devices_with_different_observations_are_predicted_independently(
    file: Path, predictor: PcnPredictor
) -> None:
    models = [CONV, CONV_TWICE, DENSE]
    devices = [make_vector(1.0 + i / 5) for i in range(6)]
    observed = [[], *([Observation(models[i % 3], 0.01 * (i + 1), 0.001)] for i in range(4)), []]
    observed[2].append(Observation(DENSE, 0.5, 0.1, shift=1.0))

    together = predictor.table(models, devices, observed)
    alone = [
        predictor.table(models, [device], [made])
        for device, made in zip(devices, observed, strict=True)
    ]
    narrow = PcnPredictor.load(file, limits=BatchLimits(observed_models=1))
    apart = narrow.table(models, devices, observed)

    for table in (apart, together):
        np.testing.assert_allclose(table.latency, np.hstack([one.latency for one in alone]), 1e-5)
        np.testing.assert_allclose(table.spread, np.hstack([one.spread for one in alone]), 1e-2)


def test_observations_of_a_device_do_not_affect_others(predictor: PcnPredictor) -> None:
    other = make_vector(3.0)
    before = predictor.table([CONV], [DEVICE, other]).latency[0]

    after = predictor.table([CONV], [DEVICE, other], [[Observation(CONV, 1.0)], []]).latency[0]

    assert after[0] > 2 * before[0]
    assert after[1] == pytest.approx(before[1], rel=1e-5)


def test_only_the_newest_observations_count(file: Path) -> None:
    predictor = PcnPredictor.load(file, limits=BatchLimits(observations=3))
    new = [Observation(CONV, 0.02)] * 3

    expected = predictor.predict(CONV, DEVICE, new)
    prediction = predictor.predict(CONV, DEVICE, [Observation(CONV, 50.0)] * 500 + new)

    assert prediction == expected


def test_an_uncertain_observation_has_less_effect(predictor: PcnPredictor) -> None:
    sure = predictor.predict(CONV, DEVICE, [Observation(CONV, 1.0)])
    doubtful = predictor.predict(CONV, DEVICE, [Observation(CONV, 1.0, variance=10.0)])
    before = predictor.predict(CONV, DEVICE)

    assert sure is not None
    assert doubtful is not None
    assert before is not None
    assert before.latency_s < doubtful.latency_s < sure.latency_s


@pytest.mark.parametrize(
    "observation",
    [
        Observation(CONV, float("nan")),
        Observation(CONV, 0.0),
        Observation(CONV, float("inf")),
        Observation(replace(CONV, version="0"), 1.0),
    ],
    ids=["not a number", "zero", "endless", "stale"],
)
def test_an_invalid_observation_is_ignored(
    predictor: PcnPredictor, observation: Observation
) -> None:
    assert predictor.predict(CONV, DEVICE, [observation]) == predictor.predict(CONV, DEVICE)


def test_a_device_without_reference_networks_has_wider_intervals(
    predictor: PcnPredictor,
) -> None:
    bare = without(DEVICE, *REFERENCES)

    table = predictor.table([CONV], [DEVICE, bare])

    assert np.isfinite(table.latency).all()
    assert table.spread[0, 1] > table.spread[0, 0]


def test_a_filled_in_probe_widens_intervals_of_models_that_rest_on_it(
    predictor: PcnPredictor,
) -> None:
    partial = without(DEVICE, "conv_wide_16", "conv_wide_64")

    spread = predictor.table([CONV, DENSE], [DEVICE, partial]).spread

    assert spread[0, 1] > 1.2 * spread[0, 0]
    assert spread[1, 1] == pytest.approx(spread[1, 0], rel=0.01)


def test_an_unusual_probe_widens_the_interval_of_models_that_rest_on_it(
    predictor: PcnPredictor,
) -> None:
    slow = {name: 3 * DEVICE.readings[name].seconds for name in ("conv_wide_16", "conv_wide_64")}

    spread = predictor.table([CONV, DENSE], [DEVICE, with_readings(DEVICE, **slow)]).spread

    assert spread[0, 1] > 1.2 * spread[0, 0]
    assert spread[0, 1] / spread[0, 0] > 1.1 * spread[1, 1] / spread[1, 0]


def test_the_speed_of_a_device_makes_no_probe_unusual() -> None:
    result = device_inputs([DEVICE, make_vector(20.0)], SUITE).unusual

    np.testing.assert_allclose(result[0], result[1], atol=1e-6)


def test_a_complete_vector_has_no_imputed_term() -> None:
    assert not device_inputs([DEVICE], SUITE).implied.any()


def test_stale_and_poisoned_vectors_are_unknown(predictor: PcnPredictor) -> None:
    stale = replace(DEVICE, version="0")
    empty = replace(DEVICE, readings={})
    nothing = with_readings(DEVICE, **dict.fromkeys(DEVICE.readings, float("nan")))

    table = predictor.table([CONV, replace(CONV, version="0")], [DEVICE, stale, empty, nothing])

    assert np.isfinite(table.latency).tolist() == [[True, False, False, False], [False] * 4]
    assert np.isfinite(table.spread).tolist() == np.isfinite(table.latency).tolist()
    assert predictor.predict(CONV, empty) is None
    assert predictor.explain(CONV, empty) is None
    with pytest.raises(VersionMismatch, match="probe it again"):
        predictor.predict(CONV, stale)


def test_an_infinite_reference_reading_counts_as_missing(predictor: PcnPredictor) -> None:
    broken = with_readings(DEVICE, **{REFERENCES[0]: float("inf")})
    missing = without(DEVICE, REFERENCES[0])

    table = predictor.table([CONV], [broken, missing]).latency[0]

    assert table[0] == pytest.approx(table[1], rel=1e-4)


def test_without_models_or_devices_the_table_is_empty(predictor: PcnPredictor) -> None:
    assert predictor.table([], [DEVICE]).latency.shape == (0, 1)
    assert predictor.table([CONV], []).latency.shape == (1, 0)


def test_the_explanation_adds_up_to_the_prediction(predictor: PcnPredictor) -> None:
    made = [Observation(CONV, 0.05)]

    explanation = predictor.explain(CONV, DEVICE, made)

    assert explanation is not None
    correction = (
        explanation.gate * (explanation.similarity + explanation.residual) + explanation.observed
    )
    assert explanation.physics_s * np.exp(correction) == pytest.approx(
        explanation.prediction.latency_s, rel=1e-4
    )
    assert list(explanation.parts_s.values()) == sorted(explanation.parts_s.values(), reverse=True)
    assert set(explanation.parts_s) >= set(KINDS["conv"])
    assert explanation.distance == pytest.approx(0.3)


def test_dissimilar_models_are_proposed_for_observation_first(predictor: PcnPredictor) -> None:
    convs = [make_features(KINDS["conv"], 1.0 + i / 100) for i in range(4)]
    dense = [make_features(KINDS["dense"], 1.0 + i / 100) for i in range(4)]

    chosen = predictor.next_to_observe(convs + dense, without(DEVICE, *REFERENCES), 2)

    assert len({index // 4 for index in chosen}) == 2


def test_observed_models_are_not_proposed_again(predictor: PcnPredictor) -> None:
    models, bare = [CONV, DENSE], without(DEVICE, *REFERENCES)

    after_conv = predictor.next_to_observe(models, bare, 1, [Observation(CONV, 0.01)] * 5)
    after_dense = predictor.next_to_observe(models, bare, 1, [Observation(DENSE, 0.01)] * 5)

    assert (after_conv, after_dense) == ([1], [0])


def test_each_model_is_chosen_once() -> None:
    assert sorted(most_informative(np.eye(3), 0.1, 9)) == [0, 1, 2]


def test_quantiles_are_increasing(predictor: PcnPredictor) -> None:
    quantiles = predictor.quantiles([CONV, DENSE], [DEVICE])

    assert (quantiles.p50 < quantiles.p90).all()
    assert (quantiles.p90 < quantiles.p99).all()


def test_intervals_have_the_width_of_the_calibration(file: Path) -> None:
    bands = {name: Band(central90=1.0 + i) for i, name in enumerate(NOVELTY)}
    exported = NetworkFile.load(file, SUITE)
    near = replace(exported, calibration=Calibration("t", 2.0, -1.0, bands))
    far = replace(exported, calibration=Calibration("t", 2.0, 2.0, bands))

    widths = [
        PcnPredictor(network, SUITE).table([CONV], [DEVICE]).spread[0, 0] for network in (near, far)
    ]

    assert widths[1] / widths[0] == pytest.approx(3 / 2, rel=0.01)


@pytest.mark.parametrize("kind", ["unknown", "unshaped", "other"])
def test_operators_with_unknown_work_widen_the_interval(predictor: PcnPredictor, kind: str) -> None:
    opaque = replace(CONV, values={**CONV.values, f"{kind}.nodes": 1.0})

    spread = predictor.table([CONV, opaque], [DEVICE]).spread

    assert spread[1, 0] > 1.5 * spread[0, 0]


def test_a_dissimilar_model_is_less_certain_until_it_ran(predictor: PcnPredictor) -> None:
    near, far = (replace(CONV, similar={"known": likeness}) for likeness in (0.3, 0.02))
    other, device = make_vector(2.0), make_vector(2.0)

    spread = predictor.table([CONV, near, far], [device, other], [[], [Observation(far, 0.01)]])

    assert spread.spread[0, 0] == spread.spread[1, 0]
    assert spread.spread[2, 0] > 1.5 * spread.spread[1, 0]
    assert spread.spread[2, 1] < spread.spread[1, 0]


def test_the_analytical_predictor_serves_without_a_usable_network(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"no")

    absent = default_predictor(tmp_path / "absent.onnx")
    shipped = default_predictor(file)
    damaged = default_predictor(tmp_path / "damaged.onnx")

    assert isinstance(absent, PhysicsPredictor)
    assert isinstance(shipped, PcnPredictor)
    assert isinstance(damaged, PhysicsPredictor)
    with pytest.raises(ModelMismatch):
        PcnPredictor.load(tmp_path / "damaged.onnx")


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("acesniper.extender.__main__", {"torch", "onnx"}),
        ("acesniper.predictor.factory", {"torch", "onnx"}),
        ("acesniper.operator.__main__", {"torch"}),
        ("acesniper.cli.predict", {"torch", "onnx", "onnxruntime", "numpy"}),
    ],
)
def test_serving_imports_only_what_its_image_installs(module: str, absent: set[str]) -> None:
    program = f"import sys, {module}; sys.exit(bool({absent} & sys.modules.keys()))"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
