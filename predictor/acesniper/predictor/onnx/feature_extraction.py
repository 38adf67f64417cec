"""Features of a model, summed up over the nodes of its classified graph.

Each node adds its FLOPs, bytes and count to those of its class, and to the spreads of its amounts
over shapes and kinds of operators; the rest are totals of the graph (see `predictor.features`). The
Weisfeiler-Lehman histogram of the graph's classes is what similarity compares.
"""

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
"""Operators whose output size depends on the data."""

JOINS = frozenset(("Add", "Concat", "Mul", "Sum", "QLinearAdd", "QLinearConcat", "QLinearMul"))

WL_ROUNDS = 2
MAX_LABELS = 512
"""Rarer labels are dropped, so that the histogram of a huge graph is bounded."""

SKIPPED = (FREE, "fused")
"""Classes that labels skip: the same activation may be one node or five."""

SPREAD_OF_AXIS = {(spread.name, spread.of): spread for spread in SPREADS}
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
OTHER_BIN = {
    **{"bytes_by_function": "power", "bytes_by_norm": "other"},
    **{"bytes_by_move": "gather", "bytes_by_pool": "reduce"},
}
"""Bin of the operators in no other bin: roots and exponentials, index operations, sums."""

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
"""Name of a feature, and the amount to add to it."""


def extract(graph: ClassifiedGraph) -> ModelFeatures:
    """Features of a classified graph, without its similarity to known networks.

    Raises InvalidModel (ShapeInferenceFailed).
    """
    _check_shapes(graph.nodes)
    values = dict.fromkeys(FEATURE_NAMES, 0.0)
    for classified in graph.nodes:
        _add_node(values, classified)
    weights = weights_of(graph.nodes)
    _add_totals(values, graph, weights)
    operators = Counter(classified.node.name for classified in graph.nodes)
    return ModelFeatures(
        version=FEATURES_VERSION,
        values=values,
        flops=sum(values[f"{name}.flops"] for name in CLASSES),
        bytes_moved=sum(values[f"{name}.bytes"] for name in CLASSES),
        parameters=sum(tensor.elements for tensor in weights.values()),
        peak_memory_bytes=int(values["activations.bytes"] + values["weights.bytes"]),
        operators=dict(operators.most_common()),
        similar={},
        labels=histogram(graph.nodes),
    )


def _check_shapes(nodes: Sequence[ClassifiedNode]) -> None:
    """Raise InvalidModel for unknown shapes, except of light operators that depend on the data."""
    tainted: set[str] = set()
    for classified in nodes:
        node = classified.node
        is_opaque = classified.op_class == "unknown" or node.op in DATA_SIZED
        is_tainted = is_opaque or any(name in tainted for name in node.input_names)
        if is_tainted:
            tainted.update(node.output_names)
        if node.shaped or is_opaque:
            continue
        if is_heavy(node) or (not is_tainted and any(t.shape is None for t in node.outputs)):
            raise InvalidModel(
                "ShapeInferenceFailed",
                f"cannot infer the shapes of the {node.op} node with output"
                f" {', '.join(node.output_names) or '?'}; {_fix(node.unknown_dims)}",
            )


def _fix(unknown_dims: tuple[str, ...]) -> str:
    if not unknown_dims:
        return "export the model with fixed shapes, or simplify it first"
    options = " ".join(f"--shape {dim}=SIZE" for dim in unknown_dims)
    return f"they depend on the data; set the sizes that cause this: {options}"


def _add_node(values: dict[str, float], classified: ClassifiedNode) -> None:
    node, op_class = classified.node, classified.op_class
    values["unshaped.nodes"] += 0.0 if node.shaped else 1.0
    values["unbounded_loop.nodes"] += 0.0 if node.bounded else 1.0
    if op_class == FREE:
        values["free.nodes"] += 1.0
        return
    values[f"{op_class}.flops"] += flops(node) * node.repeats
    values[f"{op_class}.bytes"] += moved_bytes(node) * node.repeats
    values[f"{op_class}.nodes"] += node.repeats
    variable = {n for n, t in zip(node.input_names, node.inputs, strict=True) if not t.constant}
    if node.op in JOINS and len(variable) > 1 and op_class != "fused":
        values["join.nodes"] += node.repeats
    for name, amount in spread_parts(node, op_class, classified.own_class):
        values[name] += amount * node.repeats


def _add_totals(
    values: dict[str, float], graph: ClassifiedGraph, weights: Mapping[str, Tensor]
) -> None:
    values["weights.bytes"] = sum(tensor.bytes for tensor in weights.values())
    values["largest_weight.bytes"] = max((t.bytes for t in weights.values()), default=0.0)
    values["activations.bytes"] = peak_activations(graph.nodes)
    values["largest_activation.bytes"] = largest_activation(graph.nodes)
    values["input.bytes"] = sum(tensor.bytes for tensor in graph.inputs)
    values["output.bytes"] = sum(tensor.bytes for tensor in graph.outputs)
    first = next((tensor.shape for tensor in graph.inputs if tensor.shape), (1,))
    values["batch.size"] = float(first[0])
    values["depth.nodes"] = _depth(graph.nodes)


def _depth(nodes: Sequence[ClassifiedNode]) -> float:
    """Length of the longest chain of nodes that do work."""
    depth: dict[str, int] = {}
    for classified in nodes:
        before = max((depth.get(name, 0) for name in classified.node.input_names), default=0)
        after = before + (0 if classified.op_class == FREE else 1)
        depth.update(dict.fromkeys(classified.node.output_names, after))
    return float(max(depth.values(), default=0))


def weights_of(nodes: Sequence[ClassifiedNode]) -> dict[str, Tensor]:
    """Constants that a running node reads, by name, without those computed from shapes."""
    folded = {name for item in nodes if item.node.folded for name in item.node.output_names}
    return {
        name: tensor
        for item in nodes
        for name, tensor in zip(item.node.input_names, item.node.inputs, strict=True)
        if name and tensor.constant and item.op_class != FREE and name not in folded
    }


def peak_activations(nodes: Sequence[ClassifiedNode]) -> float:
    """Peak bytes of live activations when the nodes run in order."""
    last_use = {name: i for i, item in enumerate(nodes) for name in item.node.input_names}
    freed_at: defaultdict[int, list[str]] = defaultdict(list)
    for name, index in last_use.items():
        freed_at[index].append(name)
    live: dict[str, float] = {}
    total = peak = 0.0
    for index, item in enumerate(nodes):
        for name, size in _activations(item.node):
            if name not in live:
                live[name] = size
                total += size
        peak = max(peak, total)
        for name in freed_at[index]:
            total -= live.pop(name, 0.0)
    return max(peak, 0.0)


def _activations(node: Node) -> list[tuple[str, float]]:
    pairs = [
        *zip(node.input_names, node.inputs, strict=True),
        *zip(node.output_names, node.outputs, strict=True),
    ]
    return [(name, tensor.bytes) for name, tensor in pairs if name and not tensor.constant]


def largest_activation(nodes: Sequence[ClassifiedNode]) -> float:
    """Bytes of the largest activation."""
    return max((size for item in nodes for _, size in _activations(item.node)), default=0.0)


def spread_parts(node: Node, op_class: str, own_class: str) -> Iterator[Part]:
    """What one run of a node adds to the spreads; `own_class` is its class if it were not fused."""
    if op_class in MULTIPLYING:
        yield from _product_parts(node, op_class)
    moved = moved_bytes(node)
    if op_class in SIZED_LIGHT:
        yield from on_axis("bytes_by_size", op_class, moved, moved)
    spread = SPREAD_OF_CLASS.get(own_class)
    if spread is not None:
        yield f"{spread}.{BIN.get((spread, node.op), OTHER_BIN[spread])}", moved


def on_axis(name: str, of: str, place: float, amount: float) -> Iterator[Part]:
    """The amount, divided between the two knots around its place on the logarithmic axis."""
    spread = SPREAD_OF_AXIS[name, of]
    features, knots = spread.features, spread.knots
    if place <= knots[0] or place >= knots[-1]:
        yield features[0 if place <= knots[0] else -1], amount
        return
    above = next(i for i, knot in enumerate(knots) if knot > place)
    low, high = knots[above - 1], knots[above]
    share = math.log(place / low) / math.log(high / low)
    yield features[above - 1], amount * (1.0 - share)
    yield features[above], amount * share


def _product_parts(node: Node, op_class: str) -> Iterator[Part]:
    total, family = flops(node), FAMILY[op_class]
    sized = SAME_KIND.get(op_class, op_class)
    if sized in SIZED_HEAVY:
        yield from on_axis("flops_by_size", sized, total, total)
    for product in products_of(node):
        columns = product.columns * (product.count if family == "depthwise" else 1)
        yield from on_axis("flops_by_rows", family, product.rows, product.flops)
        yield from on_axis("flops_by_columns", family, columns, product.flops)
        yield from on_axis("flops_by_depth", family, product.depth, product.flops)
    yield from on_axis("flops_by_intensity", "", total / max(moved_bytes(node), 1.0), total)
    weights = weight(node)
    if weights.constant:
        yield from on_axis("weights_by_size", "", weights.bytes, weights.bytes)
    yield f"flops_by_type.{_weight_type(node)}", total
    if node.op in CONVOLUTIONS:
        yield from _window_parts(node, total)


def _window_parts(node: Node, total: float) -> Iterator[Part]:
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


def _weight_type(node: Node) -> str:
    """Type in which the weights of a product are stored."""
    if node.op in PACKED_PRODUCTS:
        return "int4" if node.integer("bits", 4) <= 4 else "int8"
    size = weight(node).item_bytes
    return "float" if size >= 4 else "half" if size >= 2 else "int8" if size >= 1 else "int4"


def histogram(nodes: Sequence[ClassifiedNode]) -> dict[str, int]:
    """Frequency of each label over all rounds; a round adds the labels of a node's inputs."""
    labels = {
        i: SAME_KIND.get(item.op_class, item.op_class)
        for i, item in enumerate(nodes)
        if item.op_class not in SKIPPED
    }
    predecessors = _predecessors(nodes)
    counts = Counter(f"0:{label}" for label in labels.values())
    for round_number in range(1, WL_ROUNDS + 1):
        labels = {
            i: _digest(label, sorted(labels[j] for j in predecessors[i]))
            for i, label in labels.items()
        }
        counts.update(f"{round_number}:{label}" for label in labels.values())
    kept = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_LABELS]
    return dict(sorted(kept))


def _predecessors(nodes: Sequence[ClassifiedNode]) -> dict[int, list[int]]:
    """The nodes that each node reads from, skipping views and fused operators."""
    source: dict[str, list[int]] = {}
    predecessors: dict[int, list[int]] = {}
    for i, item in enumerate(nodes):
        before = sorted({j for name in item.node.input_names for j in source.get(name, [])})
        predecessors[i] = before
        producers = before if item.op_class in SKIPPED else [i]
        source.update(dict.fromkeys(item.node.output_names, producers))
    return predecessors


def _digest(label: str, parents: Sequence[str]) -> str:
    return hashlib.blake2s("|".join([label, *parents]).encode(), digest_size=4).hexdigest()
