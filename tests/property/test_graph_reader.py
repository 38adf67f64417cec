import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acesniper.domain.errors import InvalidModel
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.child import read
from acesniper.predictor.reader import read_model
from acesniper.probe.graphs import GraphBuilder
from small_models import linear_model

LAYERS = st.lists(
    st.sampled_from(["conv", "pointwise", "depthwise", "relu", "silu", "pool", "residual", "se"]),
    max_size=8,
)


def read_here(path: Path, batch: int = 1) -> ModelFeatures:
    """The child's work without the child: a property test wants hundreds of examples."""
    return read(path, batch, {})


def build(layers: list[str], channels: int, size: int) -> bytes:
    b = GraphBuilder("random")
    x = b.input("x", channels, size, size)
    for layer in layers:
        depth = b.shape(x)[0]
        if layer == "conv":
            x = b.conv(x, depth + 3)
        elif layer == "pointwise":
            x = b.conv(x, 2 * depth, 1, act="Relu")
        elif layer == "depthwise":
            x = b.conv(x, depth, groups=depth)
        elif layer == "residual":
            x = b.plus(x, b.conv(x, depth), "Relu")
        elif layer == "pool":
            x = b.pool(x, 2, 2) if min(b.shape(x)[1:]) > 1 else x
        elif layer == "se":
            x = b.mul(x, b.conv(b.global_pool(x), depth, 1, act="Sigmoid"))
        else:
            x = b.activation(x, layer.capitalize())
    data: bytes = b.build(b.gemm(b.flatten(b.global_pool(x)), 10)).SerializeToString()
    return data


@settings(max_examples=40, deadline=None)
@given(LAYERS, st.integers(1, 16), st.integers(1, 40), st.integers(1, 4))
def test_features_of_any_graph_are_finite_and_not_negative(
    layers: list[str], channels: int, size: int, batch: int
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(build(layers, channels, size))

        features = read_here(path, batch)

    numbers = [*features.values.values(), features.flops, features.bytes_moved]
    assert all(math.isfinite(value) and value >= 0 for value in numbers)
    assert features.flops > 0
    assert features.parameters > 0
    assert all(0 <= score <= 1 for score in features.similar.values())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused_and_never_crash(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(content)

        with pytest.raises(InvalidModel):
            read_here(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_garbled_model_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(linear_model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(content)

        try:
            features = read_here(path)
        except InvalidModel:
            return  # refused, as it may be

    assert np.isfinite(list(features.values.values())).all()


@settings(max_examples=4, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_the_child_process_refuses_as_well(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(content)

        with pytest.raises(InvalidModel) as caught:
            read_model(path)

    assert caught.value.reason != "ReaderCrashed"
