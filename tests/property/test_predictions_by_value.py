"""Predictions depend on the values of models and devices, never on which object holds them."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acesniper.api import convert
from acesniper.domain.device import HardwareVector, Reading
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.analytical import PhysicsPredictor
from acesniper.predictor.base import LatencyPredictor, Observation
from acesniper.predictor.pcn.serve import PcnPredictor
from small_atlas import KINDS, make_features, make_vector, write_small
from strategies import floats

MODELS = [make_features(kinds, 2.0**i) for kinds in KINDS.values() for i in range(2)]
DEVICE = make_vector(2.0)


@cache
def network() -> PcnPredictor:
    with TemporaryDirectory() as folder:
        return PcnPredictor.load(write_small(Path(folder) / "pcn.onnx"))


Load = Callable[[], LatencyPredictor]
PREDICTORS = pytest.mark.parametrize("load", [network, PhysicsPredictor], ids=["pcn", "physics"])


def copied(model: ModelFeatures, order: Sequence[str]) -> ModelFeatures:
    """Equal features in another object, their values in another order."""
    return replace(model, values={name: model.values[name] for name in order})


@st.composite
def runs(draw: st.DrawFn) -> list[tuple[int, float, float]]:
    """Which of MODELS ran, the seconds it took and the variance of that."""
    return draw(
        st.lists(
            st.tuples(st.integers(0, len(MODELS) - 1), floats(1e-3, 1.0), floats(0.0, 0.1)),
            max_size=5,
        )
    )


@PREDICTORS
@settings(deadline=None, max_examples=20)
@given(ran=runs(), data=st.data())
def test_equal_features_get_equal_predictions_whatever_the_object(
    load: Load, ran: list[tuple[int, float, float]], data: st.DataObject
) -> None:
    predictor = load()
    order = data.draw(st.permutations(sorted(MODELS[0].values)))
    copies = [copied(model, order) for model in MODELS]
    observed = [Observation(MODELS[i], *rest) for i, *rest in ran]
    mixed = [Observation(data.draw(st.sampled_from([MODELS, copies]))[i], *r) for i, *r in ran]

    table = predictor.table(MODELS, [DEVICE], [observed])
    other = predictor.table(copies, [deepcopy(DEVICE)], [mixed])
    both = predictor.table(MODELS + copies, [DEVICE], [observed])

    assert [model.digest for model in copies] == [model.digest for model in MODELS]
    for result in (other, both):
        for one, same in zip(table, result, strict=True):
            np.testing.assert_allclose(np.resize(same, one.shape), one, rtol=1e-4)
    for half in np.split(both.latency, 2):
        np.testing.assert_allclose(half, table.latency, rtol=1e-4)


@pytest.mark.parametrize(
    "changed",
    [{"flops": 5.0}, {"parameters": 5}, {"values": {}}, {"labels": {"a": 1}}, {"similar": {}}],
    ids=lambda changed: next(iter(changed)),
)
def test_different_features_have_different_digests(changed: dict[str, Any]) -> None:
    assert replace(MODELS[0], **changed).digest != MODELS[0].digest


@PREDICTORS
def test_one_file_profiled_in_two_namespaces_gets_one_prediction(load: Load) -> None:
    status = convert.to_model_status(MODELS[0])
    first, second = (
        convert.to_model_features(
            status.model_copy(update={"needs_memory_bytes": needs_memory_bytes})
        )
        for needs_memory_bytes in (0, 2**30)  # the second namespace ran out of memory
    )
    assert first is not None
    assert second is not None
    observed = [Observation(first, 0.05, 0.001)]

    table = load().table([first, second], [DEVICE], [observed]).latency[:, 0]

    assert table[0] == pytest.approx(table[1], rel=1e-5)


def test_equal_readings_have_one_digest_however_their_numbers_are_written() -> None:
    as_float = HardwareVector("hrm", "2", {"gemm": Reading(1.0, 0.0), "copy": Reading(2.0, 0.5)})
    as_integer = HardwareVector("hrm", "2", {"copy": Reading(2, 0.5), "gemm": Reading(1, -0.0)})

    assert as_float == as_integer
    assert as_float.digest == as_integer.digest
