"""Over which shapes and kinds of operators a graph's work is spread."""

import math
from collections.abc import Iterator

from acesniper.predictor.features import FAMILIES, HEAVY, SIZED_HEAVY, SIZED_LIGHT, SPREADS
from acesniper.predictor.onnx.matrix_products import CONVOLUTIONS, PACKED_PRODUCTS, weight, window
from acesniper.predictor.onnx.node import Node, names
from acesniper.predictor.onnx.op_class import flops, moved_bytes, products

KNOTS = {(each.name, each.of): each for each in SPREADS}
FAMILY = {name: family for family, members in FAMILIES.items() for name in members}
MULTIPLYING = frozenset(HEAVY) | {"gemv"}

KINDS = {
    "bytes_by_function": {
        "relu": names("Abs Clip LeakyRelu Max Min Neg PRelu QLinearLeakyRelu Relu ThresholdedRelu"),
        "hard": names("HardSigmoid HardSwish"),
        "sigmoid": names(
            "Celu Elu Mish QLinearSigmoid QuickGelu Selu Sigmoid Softplus Softsign SwiGLU Swish "
            "Tanh"
        ),
        "gelu": names("BiasGelu BiasSplitGelu Erf FastGelu Gelu"),
        "add": names("Add BiasAdd Mean QLinearAdd Sub Sum"),
        "multiply": names("Div Mul QLinearMul RotaryEmbedding"),
        "select": names(
            "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or QLinearWhere "
            "Where Xor"
        ),
        "cast": names("Cast CastLike Ceil Floor Round"),
        "quantise": names("DequantizeLinear DynamicQuantizeLinear QuantizeLinear"),
    },
    "bytes_by_norm": {
        "batch": names("BatchNormalization"),
        "layer": names(
            "Div Mul LayerNormalization RMSNormalization SimplifiedLayerNormalization "
            "SkipLayerNormalization SkipSimplifiedLayerNormalization"
        ),
        "group": names("GroupNorm GroupNormalization InstanceNormalization SkipGroupNorm"),
    },
    "bytes_by_move": {
        "transpose": names("DepthToSpace ReorderInput ReorderOutput SpaceToDepth Transpose"),
        "join": names("Concat ConcatFromSequence QLinearConcat Slice Split SplitToSequence"),
        "pad": names("CenterCropPad Expand Pad Tile"),
        "resize": names("AffineGrid Col2Im CropAndResize GridSample MaxUnpool Resize Upsample"),
    },
    "bytes_by_pool": {
        "window": names(
            "AveragePool LpPool MaxPool MaxRoiPool NhwcMaxPool QLinearAveragePool RoiAlign"
        ),
        "global": names("GlobalAveragePool GlobalLpPool GlobalMaxPool QLinearGlobalAveragePool"),
    },
}
REST = {
    "bytes_by_function": "power",
    "bytes_by_norm": "other",
    "bytes_by_move": "gather",
    "bytes_by_pool": "reduce",
}
"""The bin of operators that are in no other: roots and exponentials, index operations, sums."""

SPREAD_OF_CLASS = {
    **{"elementwise": "bytes_by_function", "norm": "bytes_by_norm"},
    **{"movement": "bytes_by_move", "pool": "bytes_by_pool"},
}
BIN = {
    (spread, op): kind
    for spread, kinds in KINDS.items()
    for kind, members in kinds.items()
    for op in members
}

Part = tuple[str, float]
"""The name of a feature and what to add to it."""


def parts(node: Node, kind: str, riding: str) -> Iterator[Part]:
    """What one run of a node adds; `riding` is its class by itself where `kind` is fused."""
    if kind in MULTIPLYING:
        yield from _of_product(node, kind)
    moved = moved_bytes(node)
    if kind in SIZED_LIGHT:
        yield from on_axis("bytes_by_size", kind, moved, moved)
    spread = SPREAD_OF_CLASS.get(riding)
    if spread is not None:
        yield f"{spread}.{BIN.get((spread, node.op), REST[spread])}", moved


def on_axis(name: str, of: str, place: float, amount: float) -> Iterator[Part]:
    """The amount, shared between the two knots around its place on the logarithmic axis."""
    spread = KNOTS[name, of]
    features, knots = spread.features, spread.knots
    if place <= knots[0] or place >= knots[-1]:
        yield features[0 if place <= knots[0] else -1], amount
        return
    above = next(i for i, knot in enumerate(knots) if knot > place)
    low, high = knots[above - 1], knots[above]
    share = math.log(place / low) / math.log(high / low)
    yield features[above - 1], amount * (1.0 - share)
    yield features[above], amount * share


def _of_product(node: Node, kind: str) -> Iterator[Part]:
    total, family = flops(node), FAMILY[kind]
    sized = "matmul" if kind == "gemm" else kind
    if sized in SIZED_HEAVY:
        yield from on_axis("flops_by_size", sized, total, total)
    for each in products(node):
        columns = each.columns * (each.count if family == "depthwise" else 1)
        yield from on_axis("flops_by_rows", family, each.rows, each.flops)
        yield from on_axis("flops_by_columns", family, columns, each.flops)
        yield from on_axis("flops_by_depth", family, each.depth, each.flops)
    yield from on_axis("flops_by_intensity", "", total / max(moved_bytes(node), 1.0), total)
    held = weight(node)
    if held.constant:
        yield from on_axis("weights_by_size", "", held.bytes, held.bytes)
    yield f"flops_by_type.{_type(node)}", total
    if node.op in CONVOLUTIONS:
        yield from _of_window(node, total)


def _of_window(node: Node, total: float) -> Iterator[Part]:
    sizes = window(node) or (1,)
    widest = max(sizes)
    if min(sizes) == 1 < widest and len(sizes) > 1:
        shape = "flat"
    else:
        shape = "1" if widest == 1 else "3" if widest <= 3 else "5" if widest <= 5 else "large"
    yield f"flops_by_window.{shape}", total
    for attribute, name in (("strides", "strided"), ("dilations", "dilated")):
        if max(node.integers(attribute), default=1) > 1:
            yield f"flops_by_window.{name}", total


def _type(node: Node) -> str:
    """The type in which a product's weights are kept."""
    if node.op in PACKED_PRODUCTS:
        return "int4" if node.integer("bits", 4) <= 4 else "int8"
    size = weight(node).item_bytes
    return "float" if size >= 4 else "half" if size >= 2 else "int8" if size >= 1 else "int4"
