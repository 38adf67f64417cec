"""Output types of onnxruntime's contrib operators, which ONNX's inference does not know.

Some have the type of their first input, some the shape of a standard operator, whose inference is
used, and the rest a shape function here.
"""

from collections.abc import Callable, Mapping, Sequence

import onnx
from onnx import NodeProto, TensorProto, TypeProto, helper

from acesniper.predictor.onnx.matrix_products import (
    PACKED_PRODUCTS,
    channels_last,
    operand,
    total_keys,
)
from acesniper.predictor.onnx.node import Node, op_names
from acesniper.predictor.onnx.scope import Dims, dims_of, tensor_type

Types = Sequence[TypeProto | None]
"""Types of the inputs; None for an omitted one."""

OPSET = 13
"""Operator set whose definitions are used: the last in which reductions take attributes."""

LIKE_FIRST = op_names(
    "BiasAdd BiasGelu BiasSoftmax FastGelu Gelu GemmaRotaryEmbedding GroupNorm GroupNormalization "
    "Inverse MeanVarianceNormalization MoE QLinearLeakyRelu QLinearSigmoid QLinearSoftmax QMoE "
    "QuickGelu RotaryEmbedding SimplifiedLayerNormalization SkipGroupNorm SkipLayerNormalization "
    "SkipSimplifiedLayerNormalization Trilu UnfoldTensor"
)
"""Operators whose first and fourth outputs have the type and shape of the first input; the second
and third, if any, are means and deviations along the last dimension."""

STANDARD_FORM: Mapping[str, tuple[str, tuple[int, ...]]] = {
    **dict.fromkeys(("Conv", "FusedConv", "NhwcConv", "NhwcFusedConv"), ("Conv", (0, 1))),
    "QLinearConv": ("Conv", (0, 3)),
    "QLinearConvTranspose": ("ConvTranspose", (0, 3)),
    **dict.fromkeys(("MaxPool", "NhwcMaxPool"), ("MaxPool", (0,))),
    **dict.fromkeys(("AveragePool", "QLinearAveragePool"), ("AveragePool", (0,))),
    **dict.fromkeys(("GlobalAveragePool", "QLinearGlobalAveragePool"), ("GlobalAveragePool", (0,))),
    "GlobalMaxPool": ("GlobalMaxPool", (0,)),
    **dict.fromkeys(("MatMulIntegerToFloat", "DynamicQuantizeMatMul"), ("MatMul", (0, 1))),
    **dict.fromkeys(("GemmFastGelu", "MatMulInteger16"), ("MatMul", (0, 1))),
    "QLinearMatMul": ("MatMul", (0, 3)),
    "QOrderedMatMul": ("MatMul", (0, 2)),
    "FusedGemm": ("Gemm", (0, 1)),
    "QGemm": ("Gemm", (0, 3)),
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), ("Add", (0, 3))),
    "QLinearWhere": ("Where", (0, 1, 4)),
    "QLinearReduceMean": ("ReduceMean", (0,)),
}
"""The standard operator with the same output shape, and the positions of its inputs."""

SAME = op_names("DequantizeLinear GatherND GridSample Pad QuantizeLinear Range Unique")
"""Operators with the meaning of the ONNX operator of the same name."""

ELEMENT_OF = {
    **{"EmbedLayerNormalization": 5, "GatherBlockQuantized": 2, "QAttention": 3},
    **{"QLinearConcat": 2, "QLinearWhere": 1},
}
"""Position of the input with the element type of the output, if not the first."""

OWN_ATTRIBUTES = op_names(
    "activation activation_params activation_alpha activation_beta activation_gamma channels_last"
)


def contrib_types(proto: NodeProto, node: Node, input_types: Types) -> list[TypeProto] | None:
    """Output types of a contrib operator as far as they are known; None for an unknown one."""
    first = input_types[0] if input_types else None
    if first is None or dims_of(first) is None:
        return None
    if node.op in LIKE_FIRST:
        statistics = tensor_type(first.tensor_type.elem_type, (*(dims_of(first) or ())[:-1], 1))
        return [first, statistics, statistics, first]
    if node.op in STANDARD_FORM:
        return _as_standard(proto, node, input_types)
    shape = SHAPES.get(node.op)
    if shape is None or not all(tensor.shape is not None for tensor in node.inputs):
        return None
    element = _element(input_types, ELEMENT_OF.get(node.op, 0))
    return [tensor_type(element, dims) for dims in shape(node)]


def _as_standard(proto: NodeProto, node: Node, input_types: Types) -> list[TypeProto] | None:
    op, places = STANDARD_FORM[node.op]
    inputs = [input_types[i] if i < len(input_types) else None for i in places]
    types = {f"i{i}": _floating(kind, op, i) for i, kind in enumerate(inputs) if kind is not None}
    if len(types) != len(places):
        return None
    last = channels_last(node)
    if last:
        types["i0"] = _move_channels(types["i0"], first=True)
    if node.op.startswith("Nhwc") and op == "Conv":
        types["i1"] = _move_channels(types["i1"], first=True)
    standard = helper.make_node(op, list(types), ["o"])
    standard.attribute.extend(a for a in proto.attribute if a.name not in OWN_ATTRIBUTES)
    schema = onnx.defs.get_schema(op, OPSET, "")
    imports = [helper.make_opsetid("", OPSET)]
    inferred = onnx.shape_inference.infer_node_outputs(
        schema, standard, types, opset_imports=imports
    )
    result = _move_channels(inferred["o"], first=False) if last else inferred["o"]
    return [tensor_type(_result_element(node, input_types), dims_of(result))]


def _floating(kind: TypeProto, op: str, place: int) -> TypeProto:
    """Same shape with an element type that the standard operator accepts."""
    element = TensorProto.BOOL if op == "Where" and place == 0 else TensorProto.FLOAT
    return tensor_type(element, dims_of(kind))


def _move_channels(kind: TypeProto, *, first: bool) -> TypeProto:
    """Type with the channels moved to the first, or last, place."""
    dims = dims_of(kind) or ()
    if len(dims) < 3:
        return kind
    moved = (dims[0], dims[-1], *dims[1:-1]) if first else (dims[0], *dims[2:], dims[1])
    return tensor_type(kind.tensor_type.elem_type, moved)


def _result_element(node: Node, input_types: Types) -> int:
    """Element type of the output: that of the input, or float for operators that dequantise."""
    if node.op in ("MatMulIntegerToFloat", "DynamicQuantizeMatMul"):
        return int(TensorProto.FLOAT)
    if node.op == "QGemm" and not any(node.input_names[7:8]):  # no output scale
        return int(TensorProto.FLOAT)
    if node.op == "MatMulInteger16":
        return int(TensorProto.INT32)
    return _element(input_types, ELEMENT_OF.get(node.op, 0))


def _element(input_types: Types, place: int) -> int:
    kind = input_types[place] if place < len(input_types) else None
    return int(kind.tensor_type.elem_type) if kind is not None else 0


def _shape(node: Node, place: int) -> tuple[int, ...]:
    return operand(node, place).shape or ()


def _packed_product(node: Node) -> list[Dims]:
    return [(*_shape(node, 0)[:-1], node.integer("N"))]


def _fused_product(node: Node) -> list[Dims]:
    left, right = list(_shape(node, 0)), list(_shape(node, 1))
    if node.integer("transA") and len(left) > 1:
        left[-2:] = reversed(left[-2:])
    if node.integer("transB") and len(right) > 1:
        right[-2:] = reversed(right[-2:])
    outer = left[:-2] if len(left) >= len(right) else right[:-2]
    return [(*outer, *left[-2:-1], *right[-1:])] if len(right) > 1 else [tuple(left[:-1])]


def _projected(node: Node) -> list[Dims]:
    given, matrix = _shape(node, 0), _shape(node, 1)
    parts = node.integers("qkv_hidden_sizes") or (matrix[-1] // 3,) * 3
    heads = max(1, node.integer("num_heads"))
    past = {"QAttention": 8, "PackedAttention": 9}.get(node.op, 4)
    cache = _shape(node, past)
    length = total_keys(node, given[-2], cache[-2] if len(cache) == 5 else 0)
    present = (2, given[0], heads, length, parts[0] // heads)
    return [(*given[:-1], parts[2]), present]


def _separate_heads(node: Node) -> list[Dims]:
    query, key, value = (_shape(node, i) for i in range(3))
    heads = max(1, node.integer("num_heads"))
    if len(query) == 5:
        return [(query[0], query[1], query[2] * query[4])]
    width = value[1] * value[3] if len(value) == 4 else value[-1] if value else query[-1]
    keys = key[2] if len(key) == 4 else key[1] if len(key) > 2 else query[-2]
    past = _shape(node, 5 if node.op.startswith("Decoder") else 6)
    total = total_keys(node, keys, past[2] if len(past) == 4 else 0)
    caches: list[Dims] = [(query[0], heads, total, size // heads) for size in (query[-1], width)]
    return [(*query[:-1], width), *caches]


def _grouped_heads(node: Node) -> list[Dims]:
    query, key, past = _shape(node, 0), _shape(node, 1), _shape(node, 3)
    heads, groups = max(1, node.integer("num_heads")), max(1, node.integer("kv_num_heads"))
    size = query[-1] // (heads if key else heads + 2 * groups)
    total = total_keys(node, query[-2], past[2] if len(past) == 4 else 0)
    cache = (query[0], groups, total, size)
    return [(*query[:-1], heads * size), cache, cache]


def _embedded(node: Node) -> list[Dims]:
    ids, table = _shape(node, 0), _shape(node, 2)
    result = (*ids, table[-1])
    return [result, (ids[0],), result]


def _gathered_blocks(node: Node) -> list[Dims]:
    """Byte tensors pack several numbers per element of the last dimension."""
    data, indices = list(_shape(node, 0)), _shape(node, 1)
    if operand(node, 0).item_bytes >= 1:
        data[-1] *= 8 // node.integer("bits", 4)
    axis = node.integer("gather_axis")
    return [(*data[:axis], *indices, *data[axis + 1 :])]


def _joined(node: Node) -> list[Dims]:
    """Inputs: scale and zero point of the output, then three inputs per part."""
    parts = [tensor.shape or () for tensor in node.inputs[2::3]]
    axis = node.integer("axis")
    joined = list(parts[0])
    joined[axis] = sum(part[axis] for part in parts)
    return [tuple(joined)]


def _halved(node: Node) -> list[Dims]:
    shape = _shape(node, 0)
    return [(*shape[:-1], shape[-1] // 2)]


def _recurrent(node: Node) -> list[Dims]:
    steps, given = _shape(node, 0), _shape(node, 1)
    state = (given[0], steps[1], node.integer("hidden_size"))
    return [(steps[0], *state), state, state]


def _blocked(node: Node) -> list[Dims]:
    """Conversion to the blocked channel layout; its padding is unknown."""
    shape = _shape(node, 0)
    return [(shape[0], shape[-1], *shape[1:-1])] if node.integer("channels_last") else [shape]


def _unblocked(node: Node) -> list[Dims]:
    shape, channels = _shape(node, 0), node.integer("channels")
    if node.integer("channels_last"):
        return [(shape[0], *shape[2:], channels)]
    return [(shape[0], channels, *shape[2:])]


SHAPES: Mapping[str, Callable[[Node], Sequence[Dims]]] = {
    **dict.fromkeys(PACKED_PRODUCTS, _packed_product),
    **dict.fromkeys(("FusedMatMul", "TransposeMatMul", "FusedMatMulActivation"), _fused_product),
    **dict.fromkeys(op_names("Attention QAttention PackedAttention"), _projected),
    **dict.fromkeys(op_names("DecoderMaskedSelfAttention LongformerAttention"), _projected),
    **dict.fromkeys(
        op_names("MultiHeadAttention DecoderMaskedMultiHeadAttention"), _separate_heads
    ),
    "PackedMultiHeadAttention": _separate_heads,
    **dict.fromkeys(("GroupQueryAttention", "SparseAttention"), _grouped_heads),
    "EmbedLayerNormalization": _embedded,
    "GatherBlockQuantized": _gathered_blocks,
    "QLinearConcat": _joined,
    "BiasSplitGelu": _halved,
    "DynamicQuantizeLSTM": _recurrent,
    "ReorderInput": _blocked,
    "ReorderOutput": _unblocked,
}
