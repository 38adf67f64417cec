"""Operators of onnxruntime: the shapes that the reader infers are those that the runtime gives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from acesniper.predictor.onnx.graph import load_graph
from small_models import features_of, save

FLOAT, INT8, UINT8 = np.float32, np.int8, np.uint8
INT32, INT64 = np.int32, np.int64


class Tensor(NamedTuple):
    """An input, or with `value` a weight of that shape filled with it."""

    shape: tuple[int, ...]
    kind: type = FLOAT
    value: float | None = None


class Case(NamedTuple):
    """One operator, its operands in order (None: left out), outputs, attributes and FLOPs."""

    op: str
    operands: Sequence[Tensor | None]
    outputs: Sequence[type] = (FLOAT,)
    attributes: Mapping[str, object] = {}
    flops: float = 0.0


def weight(*shape: int, kind: type = FLOAT, value: float = 1.0) -> Tensor:
    return Tensor(shape, kind, value)


SCALE, ZERO = weight(), weight(kind=UINT8, value=0)
QKV = [Tensor((2, 7, 16)), Tensor((2, 9, 16)), Tensor((2, 9, 24))]
CACHE = Tensor((1, 2, 9, 16))

CASES = {
    "Attention": Case(
        "Attention",
        [Tensor((2, 7, 16)), weight(16, 48), weight(48)],
        attributes={"num_heads": 4},
        flops=2 * 14 * 16 * 48 + 2 * 8 * 7 * 7 * 8,
    ),
    "Attention with a cache": Case(
        "Attention",
        [Tensor((2, 7, 16)), weight(16, 48), weight(48), None, Tensor((2, 2, 4, 5, 4))],
        (FLOAT, FLOAT),
        {"num_heads": 4},
        2 * 14 * 16 * 48 + 2 * 8 * 7 * 12 * 8,
    ),
    "Attention with narrow values": Case(
        "Attention",
        [Tensor((2, 7, 16)), weight(16, 40), weight(40)],
        attributes={"num_heads": 4, "qkv_hidden_sizes": [16, 16, 8]},
        flops=2 * 14 * 16 * 40 + 2 * 8 * 7 * 7 * 6,
    ),
    "QAttention": Case(
        "QAttention",
        [
            Tensor((2, 7, 16), UINT8),
            weight(16, 48, kind=UINT8),
            weight(48),
            SCALE,
            SCALE,
            None,
            ZERO,
            ZERO,
        ],
        attributes={"num_heads": 4},
        flops=2 * 14 * 16 * 48 + 2 * 8 * 7 * 7 * 8,
    ),
    "MultiHeadAttention": Case(
        "MultiHeadAttention", QKV, attributes={"num_heads": 4}, flops=2 * 8 * 7 * 9 * 10
    ),
    "MultiHeadAttention with a cache": Case(
        "MultiHeadAttention",
        [*[Tensor((2, 1, 16))] * 3, None, None, None, *[Tensor((2, 4, 5, 4))] * 2],
        (FLOAT, FLOAT, FLOAT),
        {"num_heads": 4},
        2 * 8 * 6 * 8,
    ),
    "attention in a shared buffer": Case(
        "DecoderMaskedMultiHeadAttention",
        [*[Tensor((1, 1, 16))] * 3, None, None, *[Tensor((1, 4, 9, 4))] * 2, Tensor((1,), INT32)],
        (FLOAT, FLOAT, FLOAT),
        {"num_heads": 4, "past_present_share_buffer": 1},
        2 * 4 * 9 * 8,
    ),
    "GroupQueryAttention": Case(
        "GroupQueryAttention",
        [
            Tensor((1, 1, 64)),
            Tensor((1, 1, 32)),
            Tensor((1, 1, 32)),
            CACHE,
            CACHE,
            Tensor((1,), INT32),
            weight(kind=INT32, value=10),
        ],
        (FLOAT, FLOAT, FLOAT),
        {"num_heads": 4, "kv_num_heads": 2},
        2 * 4 * 10 * 32,
    ),
    "MatMulNBits": Case(
        "MatMulNBits",
        [Tensor((2, 7, 64)), weight(10, 2, 16, kind=UINT8), weight(20)],
        attributes={"K": 64, "N": 10, "bits": 4, "block_size": 32},
        flops=2 * 14 * 64 * 10,
    ),
    "MoE": Case(
        "MoE",
        [Tensor((6, 16)), Tensor((6, 4)), weight(4, 32, 16), weight(4, 32), weight(4, 16, 32)],
        attributes={"k": 2, "activation_type": "relu"},
        flops=2 * 6 * 2 * 2 * 16 * 32,
    ),
    "FusedMatMul": Case(
        "FusedMatMul",
        [Tensor((2, 8, 7)), Tensor((2, 5, 8))],
        attributes={"transA": 1, "transB": 1},
        flops=2 * 2 * 7 * 8 * 5,
    ),
    "FusedGemm": Case(
        "FusedGemm",
        [Tensor((7, 8)), weight(8, 5), weight(5)],
        attributes={"activation": "Relu"},
        flops=2 * 7 * 8 * 5,
    ),
    "FusedConv": Case(
        "FusedConv",
        [Tensor((1, 8, 9, 9)), weight(4, 8, 3, 3), weight(4)],
        attributes={"activation": "Relu", "kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
        flops=2 * 4 * 81 * 72,
    ),
    "DynamicQuantizeMatMul": Case(
        "DynamicQuantizeMatMul",
        [Tensor((2, 7, 8)), weight(8, 5, kind=INT8), weight(1), weight(1, kind=INT8)],
        flops=2 * 14 * 8 * 5,
    ),
    "MatMulIntegerToFloat": Case(
        "MatMulIntegerToFloat",
        [Tensor((2, 7, 8), UINT8), weight(8, 5, kind=INT8), weight(1), weight(1)],
        flops=2 * 14 * 8 * 5,
    ),
    "QGemm": Case(
        "QGemm",
        [Tensor((6, 16), UINT8), SCALE, ZERO, weight(16, 4, kind=UINT8), SCALE, ZERO],
        flops=2 * 6 * 16 * 4,
    ),
    "QLinearAdd": Case(
        "QLinearAdd",
        [Tensor((6, 16), UINT8), SCALE, ZERO, Tensor((16,), UINT8), SCALE, ZERO, SCALE, ZERO],
        (UINT8,),
    ),
    "QLinearConcat": Case(
        "QLinearConcat",
        [SCALE, ZERO, Tensor((6, 16), UINT8), SCALE, ZERO, Tensor((6, 4), UINT8), SCALE, ZERO],
        (UINT8,),
        {"axis": 1},
    ),
    "QLinearAveragePool": Case(
        "QLinearAveragePool",
        [Tensor((1, 9, 9, 6), UINT8), SCALE, ZERO, SCALE, ZERO],
        (UINT8,),
        {"kernel_shape": [3, 3], "channels_last": 1},
    ),
    "NhwcMaxPool": Case(
        "NhwcMaxPool", [Tensor((1, 9, 9, 6), UINT8)], (UINT8,), {"kernel_shape": [3, 3]}
    ),
    "RotaryEmbedding": Case(
        "RotaryEmbedding",
        [Tensor((1, 7, 64)), Tensor((1, 7), INT64), weight(9, 8), weight(9, 8)],
        attributes={"num_heads": 4},
    ),
    "SkipLayerNormalization": Case(
        "SkipLayerNormalization",
        [Tensor((2, 7, 64)), Tensor((2, 7, 64)), weight(64), weight(64)],
        (FLOAT, FLOAT, FLOAT, FLOAT),
    ),
    "EmbedLayerNormalization": Case(
        "EmbedLayerNormalization",
        [
            Tensor((2, 7), INT32),
            Tensor((2, 7), INT32),
            weight(30, 16),
            weight(20, 16),
            weight(2, 16),
            weight(16),
            weight(16),
        ],
        (FLOAT, INT32),
    ),
    "GatherBlockQuantized": Case(
        "GatherBlockQuantized",
        [weight(30, 32, kind=UINT8), Tensor((2, 7), INT64), weight(30, 2)],
        attributes={"bits": 4, "block_size": 32, "quantize_axis": 1, "gather_axis": 0},
    ),
    "BiasGelu": Case("BiasGelu", [Tensor((6, 16)), weight(16)]),
}


def model_of(case: Case) -> ModelProto:
    named = {f"i{i}": operand for i, operand in enumerate(case.operands) if operand is not None}
    feeds = [f"i{i}" if operand is not None else "" for i, operand in enumerate(case.operands)]
    gives = [f"o{i}" for i in range(len(case.outputs))]
    node = helper.make_node(case.op, feeds, gives, domain="com.microsoft", **case.attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [value(name, t.kind, t.shape) for name, t in named.items() if t.value is None],
        [value(name, kind) for name, kind in zip(gives, case.outputs, strict=True)],
        [
            numpy_helper.from_array(np.full(t.shape, t.value, t.kind), name)
            for name, t in named.items()
            if t.value is not None
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def value(name: str, kind: type, shape: tuple[int, ...] | None = None) -> object:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    return helper.make_tensor_value_info(name, element, shape)


@pytest.mark.parametrize("name", CASES)
def test_shapes_match_those_of_onnxruntime(name: str, tmp_path: Path) -> None:
    path = save(model_of(CASES[name]), tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    operands = [operand for operand in CASES[name].operands if operand and operand.value is None]
    given: dict[str, np.ndarray] = {
        value.name: np.ones(operand.shape, operand.kind)
        for value, operand in zip(session.get_inputs(), operands, strict=True)
    }

    graph = load_graph(path, 1, {})

    assert [t.shape for t in graph.outputs] == [t.shape for t in session.run(None, given)]
    assert [t.item_bytes for t in graph.outputs] == [
        np.dtype(kind).itemsize for kind in CASES[name].outputs
    ]


@pytest.mark.parametrize("name", CASES)
def test_flops_follow_the_definition(name: str) -> None:
    features = features_of(model_of(CASES[name]))

    assert features.flops == CASES[name].flops
    assert features.values["unknown.nodes"] == features.values["unshaped.nodes"] == 0


def test_an_unknown_contrib_operator_is_reported() -> None:
    features = features_of(model_of(Case("BeamOfLight", [Tensor((2, 3))])))

    assert features.operators == {"com.microsoft:BeamOfLight": 1}
    assert features.values["unknown.nodes"] == 1


def test_packed_attention_follows_its_definition() -> None:
    case = Case("MultiHeadAttention", [Tensor((2, 7, 4, 3, 8))], attributes={"num_heads": 4})

    assert features_of(model_of(case)).flops == 2 * 2 * 4 * 7 * 7 * 16


def test_four_bit_weights_are_recognised_by_their_packing() -> None:
    values = features_of(model_of(CASES["MatMulNBits"])).values

    assert values["flops_by_type.int4"] == CASES["MatMulNBits"].flops
    assert values["weights.bytes"] == 10 * 64 / 2 + 20 * TensorProto.FLOAT * 4
