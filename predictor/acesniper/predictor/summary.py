"""Sum the nodes of a graph up to its features."""

from collections import Counter
from collections.abc import Mapping, Sequence

from acesniper.domain.errors import InvalidModel
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.features import CLASSES, FEATURE_NAMES, FEATURES_VERSION, FREE
from acesniper.predictor.onnx.feature_extraction import (
    histogram,
    largest_activation,
    parts,
    peak_activations,
    weights,
)
from acesniper.predictor.onnx.node import Tensor, names
from acesniper.predictor.onnx.op_class import Classified, Graph, flops, heavy, moved_bytes

DATA_SIZED = names("Compress If Loop NonMaxSuppression NonZero Scan StringSplit Unique")
"""Operators whose results have as many elements as the data say."""

JOINS = frozenset(("Add", "Concat", "Mul", "Sum", "QLinearAdd", "QLinearConcat", "QLinearMul"))


def summarise(graph: Graph) -> ModelFeatures:
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


def _add_node(values: dict[str, float], each: Classified) -> None:
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
    for name, amount in parts(node, kind, each.alone):
        values[name] += amount * node.repeats


def _add_totals(values: dict[str, float], graph: Graph, held: Mapping[str, Tensor]) -> None:
    values["weights.bytes"] = sum(each.bytes for each in held.values())
    values["largest_weight.bytes"] = max((each.bytes for each in held.values()), default=0.0)
    values["activations.bytes"] = peak_activations(graph.nodes)
    values["largest_activation.bytes"] = largest_activation(graph.nodes)
    values["input.bytes"] = sum(each.bytes for each in graph.inputs)
    values["output.bytes"] = sum(each.bytes for each in graph.outputs)
    first = next((each.shape for each in graph.inputs if each.shape), (1,))
    values["batch.size"] = float(first[0])
    values["depth.nodes"] = _depth(graph.nodes)


def _check_shapes(graph: Sequence[Classified]) -> None:
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
        if heavy(node) or (not taint and any(t.shape is None for t in node.outputs)):
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


def _depth(graph: Sequence[Classified]) -> float:
    """The longest chain of working nodes."""
    depth: dict[str, int] = {}
    for each in graph:
        before = max((depth.get(name, 0) for name in each.node.feeds), default=0)
        after = before + (0 if each.kind == FREE else 1)
        depth.update(dict.fromkeys(each.node.gives, after))
    return float(max(depth.values(), default=0))
