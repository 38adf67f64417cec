"""The latency table predicts by the values of features, whatever objects and names hold them."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acesniper.domain.device import DeviceId
from acesniper.domain.evidence import NamespaceHistory
from acesniper.domain.latency_history import ObservedLatency
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import ModelKey
from acesniper.extender.latency_table import LatencyTable
from acesniper.predictor.base import LatencyPredictor
from acesniper.predictor.factory import default_predictor
from acesniper.predictor.namespaces import MeasuredDevice
from small_atlas import KINDS, make_features, make_vector

ROUNDING = 1e-5
"""Single precision, in batches of different sizes."""
NAMESPACES = ("a", "b", "c")
DEVICES = (DeviceId("bare"), DeviceId("observed"))


@cache
def predictor() -> LatencyPredictor:
    return default_predictor()


def latencies(
    models: Sequence[tuple[ModelKey, ModelFeatures]], runs: Sequence[ObservedLatency]
) -> dict[tuple[ModelKey, DeviceId], float | None]:
    """Fill a table in this order, one prediction per event, and read every pair."""
    table = LatencyTable(predictor())
    histories = tuple(NamespaceHistory(run.model.partition("/")[0], (run,), (run,)) for run in runs)
    for device, observed in zip(DEVICES, ((), histories), strict=True):
        table.set_device(device, MeasuredDevice(make_vector(1.0), observed))
    for model, features in models:
        table.set_model(model, features)
        table.predict_pending()
    return {
        (model, device): table.latency_s(model, device) for model, _ in models for device in DEVICES
    }


@given(
    family=st.sampled_from(sorted(KINDS)),
    size=st.floats(0.5, 4.0),
    order=st.permutations(NAMESPACES),
    observed_in=st.sets(st.sampled_from(NAMESPACES), min_size=1),
    slower=st.floats(0.5, 2.0),
)
@settings(max_examples=15, deadline=None)
def test_equal_features_and_observations_give_equal_latencies_in_any_order(
    family: str, size: float, order: list[str], observed_in: set[str], slower: float
) -> None:
    features = make_features(KINDS[family], size)
    models = [(ModelKey(f"{name}/model"), deepcopy(features)) for name in order]
    models.append((ModelKey("a/other"), make_features(KINDS[family], 2.0 * size)))
    runs = [
        ObservedLatency(ModelKey(f"{name}/model"), 0.01 * slower, 0.01)
        for name in sorted(observed_in)
    ]

    read = latencies(models, runs)
    sorted_read = latencies(sorted(models, key=lambda pair: pair[0]), runs)

    assert read == {key: pytest.approx(value, rel=ROUNDING) for key, value in sorted_read.items()}
    for device in DEVICES:
        groups = [{*NAMESPACES}] if device == "bare" else [observed_in, {*NAMESPACES} - observed_in]
        for group in groups:
            values = [read[ModelKey(f"{name}/model"), device] for name in sorted(group)]
            assert values == [
                pytest.approx(value, rel=ROUNDING) for value in values[:1] * len(values)
            ]
