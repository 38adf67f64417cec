import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.compose import add_prefix, merge_graphs

from acesniper.domain.errors import InvalidModel
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.features import CLASSES, MEASURES, SPREADS
from acesniper.predictor.onnx.infer_contrib import LIKE_FIRST, SHAPES, STANDARD_FORM
from acesniper.predictor.onnx.op_class import CONTRIBUTED_PRODUCTS, STANDARD_PRODUCTS
from acesniper.predictor.onnx.sandbox import extract_features, read_model
from acesniper.predictor.similarity import likeness
from acesniper.probe.graph_builder import GraphBuilder
from small_models import features_of, linear_model
from strategies import floats

LAYERS = st.lists(
    st.sampled_from(["conv", "pointwise", "depthwise", "relu", "silu", "pool", "residual", "se"]),
    max_size=8,
)


def read_here(path: Path, batch: int = 1) -> ModelFeatures:
    """Read a model without the child process: a property test needs hundreds of examples."""
    return extract_features(path, batch, {})


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
def test_random_bytes_are_rejected_without_a_crash(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(content)

        with pytest.raises(InvalidModel):
            read_here(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_garbled_model_is_read_or_rejected(data: st.DataObject) -> None:
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
def test_the_child_process_rejects_random_bytes(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(content)

        with pytest.raises(InvalidModel) as caught:
            read_model(path)

    assert caught.value.reason != "ReaderCrashed"


def joined(one: onnx.ModelProto, other: onnx.ModelProto) -> onnx.ModelProto:
    """Both graphs in one model, side by side."""
    graph = merge_graphs(
        add_prefix(one, "a/").graph, add_prefix(other, "b/").graph, io_map=[], name="both"
    )
    return helper.make_model(graph, opset_imports=one.opset_import, ir_version=one.ir_version)


ADDING = [
    *(f"{name}.{measure}" for name in CLASSES for measure in MEASURES),
    *(name for spread in SPREADS for name in spread.features),
    "weights.bytes",
    "input.bytes",
    "output.bytes",
    "join.nodes",
]
"""Features that add up over the parts of a graph."""


@settings(max_examples=30, deadline=None)
@given(LAYERS, LAYERS, st.integers(1, 8), st.integers(4, 32))
def test_two_parallel_graphs_cost_the_sum_of_both(
    one: list[str], other: list[str], channels: int, size: int
) -> None:
    models = [onnx.load_model_from_string(build(layers, channels, size)) for layers in (one, other)]

    both = features_of(joined(*models))
    parts = [features_of(model) for model in models]

    for name in ADDING:
        assert both.values[name] == pytest.approx(sum(part.values[name] for part in parts))
    assert both.flops == sum(part.flops for part in parts)
    assert both.parameters == sum(part.parameters for part in parts)
    assert both.peak_memory_bytes <= sum(part.peak_memory_bytes for part in parts)


@settings(max_examples=30, deadline=None)
@given(LAYERS, st.integers(1, 8), st.integers(1, 32), st.integers(2, 9))
def test_arithmetic_and_activations_grow_with_the_batch(
    layers: list[str], channels: int, size: int, batch: int
) -> None:
    model = onnx.load_model_from_string(build(layers, channels, size))

    one, many = features_of(model), features_of(model, batch)

    assert many.flops == batch * one.flops
    assert many.parameters == one.parameters
    for name in ("activations.bytes", "largest_activation.bytes", "input.bytes", "batch.size"):
        assert many.values[name] == batch * one.values[name]


@settings(max_examples=30, deadline=None)
@given(LAYERS, st.integers(1, 16), st.integers(1, 40))
def test_a_spread_adds_up_to_the_total_of_its_classes(
    layers: list[str], channels: int, size: int
) -> None:
    features = features_of(onnx.load_model_from_string(build(layers, channels, size)))

    values = features.values
    for spread in ("flops_by_rows", "flops_by_columns", "flops_by_depth"):
        total = sum(value for name, value in values.items() if name.startswith(spread))
        assert total == pytest.approx(features.flops)
    for axis in SPREADS:
        if axis.name == "bytes_by_size":
            assert sum(values[name] for name in axis.features) == pytest.approx(
                values[f"{axis.of}.bytes"]
            )


@settings(max_examples=20, deadline=None)
@given(st.lists(LAYERS, min_size=2, max_size=4), st.integers(1, 8), st.integers(4, 24))
def test_similarity_is_a_symmetric_kernel_between_0_and_1(
    networks: list[list[str]], channels: int, size: int
) -> None:
    models = [
        features_of(onnx.load_model_from_string(build(layers, channels, size)))
        for layers in networks
    ]

    similarity = likeness(models, models)

    assert (similarity >= 0).all()
    assert (similarity <= 1 + 1e-9).all()
    assert np.diagonal(similarity) == pytest.approx(1.0)
    assert similarity == pytest.approx(similarity.T)
    assert np.linalg.eigvalsh(similarity).min() > -1e-9


SCHEMAS = sorted(
    (s for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and not s.deprecated),
    key=lambda schema: (schema.name, schema.since_version),
)
OTHERS = sorted({*STANDARD_PRODUCTS, *CONTRIBUTED_PRODUCTS, *LIKE_FIRST, *STANDARD_FORM, *SHAPES})
SMALL_SHAPES = st.lists(st.integers(0, 5), max_size=5)
ATTRIBUTES = st.one_of(
    st.integers(-3, 9), st.lists(st.integers(-2, 4), min_size=1, max_size=4), floats(-2, 2)
)


@st.composite
def one_operator(draw: st.DrawFn) -> onnx.ModelProto:
    """Some operator of some operator set, with inputs and attributes that mostly make no sense."""
    if draw(st.booleans()):
        schema = draw(st.sampled_from(SCHEMAS))
        name, domain, opset = schema.name, "", max(schema.since_version, 7)
        attributes = sorted(schema.attributes)
        arity, outputs = min(schema.max_input, 5), max(1, min(schema.max_output, 3))
    else:
        name, domain, opset = draw(st.sampled_from(OTHERS)), "com.microsoft", 17
        attributes = ["num_heads", "kv_num_heads", "K", "N", "axis", "group", "hidden_size"]
        arity, outputs = 9, 3
    count = draw(st.integers(min(arity, 1), arity))
    shapes = [draw(SMALL_SHAPES) for _ in range(count)]
    constants = [draw(st.booleans()) for _ in range(count)]
    kinds = [draw(st.sampled_from([np.float32, np.int64, np.bool_])) for _ in range(count)]
    feeds = [f"i{i}" if draw(st.integers(0, 7)) else "" for i in range(count)]
    gives = [f"o{i}" for i in range(outputs)]
    chosen = {name: draw(ATTRIBUTES) for name in attributes if draw(st.booleans())}
    tensors = list(zip(feeds, shapes, kinds, constants, strict=True))
    graph = helper.make_graph(
        [helper.make_node(name, feeds, gives, domain=domain, **chosen)],
        "one",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), [d or 1 for d in shape]
            )
            for name, shape, kind, constant in tensors
            if name and not constant
        ],
        [helper.make_tensor_value_info(name, 1, None) for name in gives],
        [
            numpy_helper.from_array(np.ones(shape, kind), name)
            for name, shape, kind, constant in tensors
            if name and constant
        ],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@settings(max_examples=200, deadline=None)
@given(one_operator())
def test_an_operator_with_invalid_inputs_is_read_or_rejected(model: onnx.ModelProto) -> None:
    try:
        features = features_of(model)
    except InvalidModel:
        return  # refused, as it may be

    assert np.isfinite(list(features.values.values())).all()
    assert min(features.values.values()) >= 0
