"""Every operator has a class, and the heavy ones the arithmetic of their definition."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.features import CLASSES, FREE
from acesniper.predictor.onnx.op_class import LIGHT_CLASS, STANDARD_PRODUCTS
from small_models import Dims, features_of, make_model

NEWEST = onnx.defs.onnx_opset_version()

Weights = Mapping[str, tuple[int, ...]]


class Case(NamedTuple):
    """One heavy operator: its node, inputs, shapes of its weights, class and FLOPs."""

    node: NodeProto
    inputs: dict[str, Dims]
    weights: Weights
    kind: str
    flops: float
    outputs: Sequence[str] = ("y",)


def node(op: str, inputs: str, outputs: str = "y", **attributes: object) -> NodeProto:
    names = [name if name != "-" else "" for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), **attributes)


CASES = {
    "stem": Case(
        node("Conv", "x w"),
        {"x": [1, 3, 34, 34]},
        {"w": (8, 3, 3, 3)},
        "stem",
        2 * 8 * 32 * 32 * 27,
    ),
    "deep convolution with stride and padding": Case(
        node("Conv", "x w", strides=[2, 2], pads=[1, 1, 1, 1]),
        {"x": [2, 16, 14, 14]},
        {"w": (32, 16, 3, 3)},
        "conv_deep",
        2 * 2 * 32 * 49 * 144,
    ),
    "pointwise": Case(
        node("Conv", "x w"),
        {"x": [1, 16, 28, 28]},
        {"w": (32, 16, 1, 1)},
        "conv1x1_wide",
        2 * 32 * 784 * 16,
    ),
    "pointwise on one pixel": Case(
        node("Conv", "x w"), {"x": [1, 16, 1, 1]}, {"w": (4, 16, 1, 1)}, "gemv", 2 * 4 * 16
    ),
    "depthwise": Case(
        node("Conv", "x w", group=16, pads=[1, 1, 1, 1]),
        {"x": [1, 16, 28, 28]},
        {"w": (16, 1, 3, 3)},
        "depthwise_wide",
        2 * 16 * 784 * 9,
    ),
    "grouped": Case(
        node("Conv", "x w", group=4),
        {"x": [1, 16, 9, 9]},
        {"w": (16, 4, 1, 1)},
        "grouped",
        2 * 16 * 81 * 4,
    ),
    "one-dimensional": Case(
        node("Conv", "x w"), {"x": [1, 8, 102]}, {"w": (4, 8, 3)}, "conv1d", 2 * 4 * 100 * 24
    ),
    "three-dimensional": Case(
        node("Conv", "x w"),
        {"x": [1, 8, 6, 6, 6]},
        {"w": (4, 8, 3, 3, 3)},
        "conv_deep",
        2 * 4 * 64 * 8 * 27,
    ),
    "transposed": Case(
        node("ConvTranspose", "x w", strides=[2, 2]),
        {"x": [1, 8, 5, 5]},
        {"w": (8, 4, 2, 2)},
        "convtranspose",
        2 * 8 * 25 * 16,
    ),
    "deformable": Case(
        node("DeformConv", "x w o", pads=[1, 1, 1, 1]),
        {"x": [1, 8, 30, 30], "o": [1, 18, 30, 30]},
        {"w": (4, 8, 3, 3)},
        "conv_wide",
        2 * 4 * 900 * 72,
    ),
    "causal": Case(
        node("CausalConvWithState", "x w", "y state"),
        {"x": [2, 8, 10]},
        {"w": (8, 1, 4)},
        "conv1d",
        2 * 2 * 8 * 10 * 4,
        ("y", "state"),
    ),
    "product with weights": Case(
        node("MatMul", "x w"), {"x": [4, 16, 8]}, {"w": (8, 5)}, "matmul", 2 * 64 * 8 * 5
    ),
    "product of one row": Case(
        node("MatMul", "x w"), {"x": [1, 8]}, {"w": (8, 5)}, "gemv", 2 * 8 * 5
    ),
    "product of activations, broadcast": Case(
        node("MatMul", "a b"),
        {"a": [2, 1, 16, 8], "b": [3, 8, 5]},
        {},
        "attention",
        2 * 6 * 16 * 8 * 5,
    ),
    "product of vectors": Case(node("MatMul", "a b"), {"a": [8], "b": [8]}, {}, "attention", 2 * 8),
    "Gemm, both turned": Case(
        node("Gemm", "x w", transA=1, transB=1),
        {"x": [8, 16]},
        {"w": (5, 8)},
        "gemm",
        2 * 16 * 8 * 5,
    ),
    "Einsum of activations": Case(
        node("Einsum", "a b", equation="bhid,bhjd->bhij"),
        {"a": [2, 3, 4, 8], "b": [2, 3, 5, 8]},
        {},
        "attention",
        2 * 6 * 4 * 5 * 8,
    ),
    "Einsum of three operands, two at a time": Case(
        node("Einsum", "a b c", equation="bij,jk,bkl->bil"),
        {"a": [2, 20, 30], "b": [30, 40], "c": [2, 40, 50]},
        {},
        "attention",
        2 * 2 * 20 * 30 * 40 + 2 * 2 * 20 * 40 * 50,
    ),
    "Einsum that sums a side before": Case(
        node("Einsum", "a b", equation="ij,j->"),
        {"a": [20, 30], "b": [30]},
        {},
        "attention",
        2 * 30,
    ),
    "Einsum with an ellipsis and weights": Case(
        node("Einsum", "a w", equation="...i, ij -> ...j"),
        {"a": [2, 16, 8]},
        {"w": (8, 5)},
        "matmul",
        2 * 32 * 8 * 5,
    ),
    "Einsum without a stated result": Case(
        node("Einsum", "a w", equation="ij,jk"),
        {"a": [16, 8]},
        {"w": (8, 5)},
        "matmul",
        2 * 16 * 8 * 5,
    ),
    "LSTM in both directions": Case(
        node("LSTM", "x w r", hidden_size=6, direction="bidirectional"),
        {"x": [10, 2, 4]},
        {"w": (2, 24, 4), "r": (2, 24, 6)},
        "recurrent",
        2 * 10 * 2 * 2 * 24 * (4 + 6),
    ),
    "GRU, batch first": Case(
        node("GRU", "x w r", hidden_size=6, layout=1),
        {"x": [2, 10, 4]},
        {"w": (1, 18, 4), "r": (1, 18, 6)},
        "recurrent",
        2 * 10 * 2 * 18 * (4 + 6),
    ),
    "attention by heads": Case(
        node("Attention", "q k v"),
        {"q": [2, 4, 7, 8], "k": [2, 2, 9, 8], "v": [2, 2, 9, 6]},
        {},
        "attention",
        2 * 2 * 4 * 7 * 9 * (8 + 6),
    ),
    "attention with a cache": Case(
        node("Attention", "q k v - c d", "y e f", q_num_heads=4, kv_num_heads=2),
        {"q": [2, 1, 32], "k": [2, 1, 16], "v": [2, 1, 16], "c": [2, 2, 9, 8], "d": [2, 2, 9, 8]},
        {},
        "attention",
        2 * 2 * 4 * 1 * 10 * (8 + 8),
        ("y", "e", "f"),
    ),
    "linear attention": Case(
        node(
            "LinearAttention", "q k v", "y s", q_num_heads=4, kv_num_heads=2, update_rule="linear"
        ),
        {"q": [1, 10, 32], "k": [1, 10, 16], "v": [1, 10, 12]},
        {},
        "attention",
        2 * 10 * (2 + 4) * 8 * 6,
        ("y", "s"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_flops_of_a_heavy_operator_follow_its_definition(name: str) -> None:
    case = CASES[name]
    weights = {key: np.ones(shape, np.float32) for key, shape in case.weights.items()}

    features = features_of(
        make_model([case.node], case.inputs, case.outputs, weights, opset=NEWEST)
    )

    assert features.flops == case.flops
    assert {kind for kind in CLASSES if features.values[f"{kind}.nodes"]} == {case.kind}
    assert features.values["unshaped.nodes"] == 0


def test_every_operator_of_the_standard_has_a_class() -> None:
    operators = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}

    assert operators - LIGHT_CLASS.keys() - STANDARD_PRODUCTS.keys() == set()
    assert set(LIGHT_CLASS.values()) <= {*CLASSES, FREE}


def test_no_operator_is_both_light_and_heavy() -> None:
    assert LIGHT_CLASS.keys() & STANDARD_PRODUCTS.keys() == set()


def test_a_kernel_that_does_not_match_its_image_is_rejected() -> None:
    model = make_model(
        [node("Conv", "x w")], {"x": [1, 5, 8, 8]}, weights={"w": np.ones((4, 3, 3, 3), np.float32)}
    )

    with pytest.raises(InvalidModel, match="does not match 5 input channels") as caught:
        features_of(model)
    assert caught.value.reason == "ShapeInferenceFailed"


def test_image_size_changes_the_spread_even_with_equal_flops() -> None:
    def conv(size: int, channels: int) -> Mapping[str, float]:
        kernel = np.ones((channels, channels, 1, 1), np.float32)
        image: dict[str, Dims] = {"x": [1, channels, size, size]}
        return features_of(make_model([node("Conv", "x w")], image, weights={"w": kernel})).values

    wide, deep = conv(64, 16), conv(16, 64)

    assert wide["conv1x1_wide.flops"] == deep["conv1x1_deep.flops"]
    assert wide["flops_by_rows.pointwise.8192"] > deep["flops_by_rows.pointwise.8192"] == 0
    assert wide["flops_by_columns.pointwise.16"] > deep["flops_by_columns.pointwise.16"] == 0


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_half_precision_halves_the_bytes(kind: int) -> None:
    model = make_model([node("Relu", "x")], {"x": [4, 8]})
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind

    assert features_of(model).values["elementwise.bytes"] == 2 * 2 * 4 * 8
