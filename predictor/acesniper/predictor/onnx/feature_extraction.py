"""Sum the nodes of a graph up to its features."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from acesniper.domain.errors import InvalidModel
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.features import (
    CLASSES,
    FAMILIES,
    FEATURE_NAMES,
    FEATURES_VERSION,
    FREE,
    HEAVY,
    SIZED_HEAVY,
    SIZED_LIGHT,
    SPREADS,
)
from acesniper.predictor.onnx.matrix_products import CONVOLUTIONS, PACKED_PRODUCTS, weight, window
from acesniper.predictor.onnx.node import Node, Tensor, op_names
from acesniper.predictor.onnx.op_class import (
    ClassifiedGraph,
    ClassifiedNode,
    flops,
    is_heavy,
    moved_bytes,
    products_of,
)
from acesniper.predictor.similarity import SAME_KIND

DATA_SIZED = op_names("Compress If Loop NonMaxSuppression NonZero Scan StringSplit Unique")
"""Operators whose results have as many elements as the data say."""

JOINS = frozenset(("Add", "Concat", "Mul", "Sum", "QLinearAdd", "QLinearConcat", "QLinearMul"))


def extract(graph: ClassifiedGraph) -> ModelFeatures:
    """The features of a classified graph; what it resembles is left open.

    Raises InvalidModel (ShapeInferenceFailed).
    """
    _check_shapes(graph.nodes)
    values = dict.fromkeys(FEATURE_NAMES, 0.0)
    for each in graph.nodes:
        _add_node(values, each)
    held = weights(graph.nodes)
    _add_totals(values, graph, held)
    operators = Counter(each.node.name for each in graph.nodes)
    return ModelFeatures(
        version=FEATURES_VERSION,
        values=values,
        flops=sum(values[f"{name}.flops"] for name in CLASSES),
        bytes_moved=sum(values[f"{name}.bytes"] for name in CLASSES),
        parameters=sum(each.elements for each in held.values()),
        peak_memory_bytes=int(values["activations.bytes"] + values["weights.bytes"]),
        operators=dict(operators.most_common()),
        similar={},
        labels=histogram(graph.nodes),
    )


def _add_node(values: dict[str, float], each: ClassifiedNode) -> None:
    node, kind = each.node, each.kind
    values["unshaped.nodes"] += 0.0 if node.shaped else 1.0
    values["unbounded_loop.nodes"] += 0.0 if node.bounded else 1.0
    if kind == FREE:
        values["free.nodes"] += 1.0
        return
    values[f"{kind}.flops"] += flops(node) * node.repeats
    values[f"{kind}.bytes"] += moved_bytes(node) * node.repeats
    values[f"{kind}.nodes"] += node.repeats
    moving = {name for name, t in zip(node.feeds, node.inputs, strict=True) if not t.constant}
    if node.op in JOINS and len(moving) > 1 and kind != "fused":
        values["join.nodes"] += node.repeats
    for name, amount in spread_parts(node, kind, each.alone):
        values[name] += amount * node.repeats


def _add_totals(
    values: dict[str, float], graph: ClassifiedGraph, held: Mapping[str, Tensor]
) -> None:
    values["weights.bytes"] = sum(each.bytes for each in held.values())
    values["largest_weight.bytes"] = max((each.bytes for each in held.values()), default=0.0)
    values["activations.bytes"] = peak_activations(graph.nodes)
    values["largest_activation.bytes"] = largest_activation(graph.nodes)
    values["input.bytes"] = sum(each.bytes for each in graph.inputs)
    values["output.bytes"] = sum(each.bytes for each in graph.outputs)
    first = next((each.shape for each in graph.inputs if each.shape), (1,))
    values["batch.size"] = float(first[0])
    values["depth.nodes"] = _depth(graph.nodes)


def _check_shapes(graph: Sequence[ClassifiedNode]) -> None:
    """Refuse unknown shapes, but for light operators behind a custom or data-dependent one."""
    tainted: set[str] = set()
    for each in graph:
        node = each.node
        opaque = each.kind == "unknown" or node.op in DATA_SIZED
        taint = opaque or any(name in tainted for name in node.feeds)
        if taint:
            tainted.update(node.gives)
        if node.shaped or opaque:
            continue
        if is_heavy(node) or (not taint and any(t.shape is None for t in node.outputs)):
            raise InvalidModel(
                "ShapeInferenceFailed",
                f"the shapes of {node.op} giving {', '.join(node.gives) or '?'} stay unknown;"
                f" {_remedy(node.open)}",
            )


def _remedy(origin: tuple[str, ...]) -> str:
    if not origin:
        return "export the model with fixed shapes (or simplify it first)"
    stated = " ".join(f"--shape {each}=SIZE" for each in origin)
    return f"they depend on the data; state the sizes with which that begins: {stated}"


def _depth(graph: Sequence[ClassifiedNode]) -> float:
    """The longest chain of working nodes."""
    depth: dict[str, int] = {}
    for each in graph:
        before = max((depth.get(name, 0) for name in each.node.feeds), default=0)
        after = before + (0 if each.kind == FREE else 1)
        depth.update(dict.fromkeys(each.node.gives, after))
    return float(max(depth.values(), default=0))


# TODO merge docstring of acesniper.predictor.onnx.feature_extraction:
# What a graph keeps in memory: its weights and the activations alive at once.


def weights(graph: Sequence[ClassifiedNode]) -> dict[str, Tensor]:
    """Constants that feed a running node, by name; what was computed from shapes is none."""
    computed = {name for each in graph if each.node.folded for name in each.node.gives}
    return {
        name: tensor
        for each in graph
        for name, tensor in zip(each.node.feeds, each.node.inputs, strict=True)
        if name and tensor.constant and each.kind != FREE and name not in computed
    }


def peak_activations(graph: Sequence[ClassifiedNode]) -> float:
    """The most bytes of activations alive at once, when nodes run in order."""
    last = {name: i for i, each in enumerate(graph) for name in each.node.feeds}
    ending: defaultdict[int, list[str]] = defaultdict(list)
    for name, index in last.items():
        ending[index].append(name)
    alive: dict[str, float] = {}
    total = peak = 0.0
    for index, each in enumerate(graph):
        for name, tensor in _touched(each.node):
            if name not in alive:
                alive[name] = tensor
                total += tensor
        peak = max(peak, total)
        for name in ending[index]:
            total -= alive.pop(name, 0.0)
    return max(peak, 0.0)


def _touched(node: Node) -> list[tuple[str, float]]:
    pairs = [
        *zip(node.feeds, node.inputs, strict=True),
        *zip(node.gives, node.outputs, strict=True),
    ]
    return [(name, tensor.bytes) for name, tensor in pairs if name and not tensor.constant]


def largest_activation(graph: Sequence[ClassifiedNode]) -> float:
    """The bytes of the largest tensor that is no weight."""
    return max((size for each in graph for _, size in _touched(each.node)), default=0.0)


# TODO merge docstring of acesniper.predictor.onnx.feature_extraction:
# Over which shapes and kinds of operators a graph's work is spread.

KNOTS = {(each.name, each.of): each for each in SPREADS}
FAMILY = {name: family for family, members in FAMILIES.items() for name in members}
MULTIPLYING = frozenset(HEAVY) | {"gemv"}

KINDS = {
    "bytes_by_function": {
        "relu": op_names(
            "Abs Clip LeakyRelu Max Min Neg PRelu QLinearLeakyRelu Relu ThresholdedRelu"
        ),
        "hard": op_names("HardSigmoid HardSwish"),
        "sigmoid": op_names(
            "Celu Elu Mish QLinearSigmoid QuickGelu Selu Sigmoid Softplus Softsign SwiGLU Swish "
            "Tanh"
        ),
        "gelu": op_names("BiasGelu BiasSplitGelu Erf FastGelu Gelu"),
        "add": op_names("Add BiasAdd Mean QLinearAdd Sub Sum"),
        "multiply": op_names("Div Mul QLinearMul RotaryEmbedding"),
        "select": op_names(
            "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or QLinearWhere "
            "Where Xor"
        ),
        "cast": op_names("Cast CastLike Ceil Floor Round"),
        "quantise": op_names("DequantizeLinear DynamicQuantizeLinear QuantizeLinear"),
    },
    "bytes_by_norm": {
        "batch": op_names("BatchNormalization"),
        "layer": op_names(
            "Div Mul LayerNormalization RMSNormalization SimplifiedLayerNormalization "
            "SkipLayerNormalization SkipSimplifiedLayerNormalization"
        ),
        "group": op_names("GroupNorm GroupNormalization InstanceNormalization SkipGroupNorm"),
    },
    "bytes_by_move": {
        "transpose": op_names("DepthToSpace ReorderInput ReorderOutput SpaceToDepth Transpose"),
        "join": op_names("Concat ConcatFromSequence QLinearConcat Slice Split SplitToSequence"),
        "pad": op_names("CenterCropPad Expand Pad Tile"),
        "resize": op_names("AffineGrid Col2Im CropAndResize GridSample MaxUnpool Resize Upsample"),
    },
    "bytes_by_pool": {
        "window": op_names(
            "AveragePool LpPool MaxPool MaxRoiPool NhwcMaxPool QLinearAveragePool RoiAlign"
        ),
        "global": op_names("GlobalAveragePool GlobalLpPool GlobalMaxPool QLinearGlobalAveragePool"),
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


def spread_parts(node: Node, kind: str, riding: str) -> Iterator[Part]:
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
    for each in products_of(node):
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


ROUNDS = 2
MOST_LABELS = 512
"""Rarer labels are left out, so that a huge graph has a bounded description."""

SKIPPED = (FREE, "fused")
"""Looked through: the same activation may be one node or five."""


def histogram(nodes: Sequence[ClassifiedNode]) -> dict[str, int]:
    """How often each label occurs, over all rounds."""
    labels = {
        i: SAME_KIND.get(each.kind, each.kind)
        for i, each in enumerate(nodes)
        if each.kind not in SKIPPED
    }
    reads = _reads(nodes)
    counts = Counter(f"0:{label}" for label in labels.values())
    for turn in range(1, ROUNDS + 1):
        labels = {
            i: _digest(label, sorted(labels[j] for j in reads[i])) for i, label in labels.items()
        }
        counts.update(f"{turn}:{label}" for label in labels.values())
    kept = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_LABELS]
    return dict(sorted(kept))


def _reads(nodes: Sequence[ClassifiedNode]) -> dict[int, list[int]]:
    """Which nodes each node reads from, looking through views and fused operators."""
    source: dict[str, list[int]] = {}
    reads: dict[int, list[int]] = {}
    for i, each in enumerate(nodes):
        before = sorted({j for name in each.node.feeds for j in source.get(name, [])})
        reads[i] = before
        source.update(dict.fromkeys(each.node.gives, before if each.kind in SKIPPED else [i]))
    return reads


def _digest(label: str, parents: Sequence[str]) -> str:
    return hashlib.blake2s("|".join([label, *parents]).encode(), digest_size=4).hexdigest()
