"""Sum the nodes of a graph up to its features."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from acesniper.domain.errors import InvalidModel
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.classes import HEAVY_OPS, classify, flops, moved_bytes
from acesniper.predictor.features import FEATURE_NAMES, FEATURES_VERSION, FREE, HEAVY
from acesniper.predictor.nodes import Node

ANCHORS = frozenset(HEAVY) | {"gemv"}
"""Classes whose kernels take a following activation along."""


@dataclass(frozen=True, slots=True)
class Classified:
    """A node with its class after looking at its neighbours."""

    node: Node
    kind: str


def classified(nodes: Iterable[Node]) -> list[Classified]:
    """The nodes that run, with elementwise ones that ride on a heavy one marked as fused.

    A node rides when all its changing inputs come from one heavy node: an activation, a bias, a
    gate computed from the same value; the sum of a residual does not.
    """
    origin: dict[str, int] = {}
    result: list[Classified] = []
    for node in nodes:
        if (node.constant and node.inputs) or node.op == "Constant":
            continue
        kind = classify(node)
        moving = [n for n, t in zip(node.feeds, node.inputs, strict=True) if n and not t.constant]
        roots = {origin.get(name) for name in moving}
        root = roots.pop() if len(roots) == 1 else None
        if kind in ("elementwise", "norm") and root is not None and _may_ride(node, kind):
            kind = "fused"
        anchor = len(result) if kind in ANCHORS else root if kind in ("fused", FREE) else None
        if anchor is not None:
            origin.update(dict.fromkeys(node.gives, anchor))
        result.append(Classified(node, kind))
    return result


def _may_ride(node: Node, kind: str) -> bool:
    return kind == "elementwise" or node.op == "BatchNormalization"


def summarise(graph: Sequence[Classified], similar: Mapping[str, float]) -> ModelFeatures:
    """The features of a classified graph. Raises InvalidModel (ShapeInferenceFailed)."""
    _check_shapes(graph)
    values = dict.fromkeys(FEATURE_NAMES, 0.0)
    operators: Counter[str] = Counter()
    for each in graph:
        node, kind = each.node, each.kind
        operators[node.op if node.standard else f"custom:{node.op}"] += 1
        values["unshaped.nodes"] += 0.0 if node.shaped else 1.0
        values["unbounded_loop.nodes"] += 0.0 if node.bounded else 1.0
        if kind == FREE:
            values["free.nodes"] += 1.0
            continue
        values[f"{kind}.flops"] += flops(node) * node.repeats
        values[f"{kind}.bytes"] += moved_bytes(node) * node.repeats
        values[f"{kind}.nodes"] += node.repeats
    weights = _weights(graph)
    values["weights.bytes"] = sum(size for _, size in weights.values())
    peak = _peak_activations(graph)
    values["activations.bytes"] = peak
    values["depth.nodes"] = _depth(graph)
    return ModelFeatures(
        version=FEATURES_VERSION,
        values=values,
        flops=sum(value for name, value in values.items() if name.endswith(".flops")),
        bytes_moved=sum(v for n, v in values.items() if n.endswith(".bytes") and n not in SIZES),
        parameters=sum(count for count, _ in weights.values()),
        peak_memory_bytes=int(peak + values["weights.bytes"]),
        operators=dict(operators.most_common()),
        similar=dict(similar),
    )


SIZES = ("weights.bytes", "activations.bytes")


def _check_shapes(graph: Sequence[Classified]) -> None:
    """Refuse unknown shapes, but for light operators behind a custom or data-dependent one."""
    tainted: set[str] = set()
    for each in graph:
        node = each.node
        opaque = each.kind == "unknown" or node.op in ("NonZero", "Compress", "Loop", "If", "Scan")
        taint = opaque or any(name in tainted for name in node.feeds)
        if taint:
            tainted.update(node.gives)
        if node.shaped or opaque:
            continue
        if node.op in HEAVY_OPS or (not taint and any(t.shape is None for t in node.outputs)):
            raise InvalidModel(
                "ShapeInferenceFailed",
                f"the shapes of {node.op} giving {', '.join(node.gives) or '?'} stay unknown;"
                " export the model with fixed shapes (or simplify it first)",
            )


def _weights(graph: Sequence[Classified]) -> dict[str, tuple[int, float]]:
    """Constants that feed a running node: name to elements and bytes."""
    found: dict[str, tuple[int, float]] = {}
    for each in graph:
        for name, tensor in zip(each.node.feeds, each.node.inputs, strict=True):
            if name and tensor.constant and each.kind != FREE:
                found[name] = (tensor.elements, tensor.bytes)
    return found


def _peak_activations(graph: Sequence[Classified]) -> float:
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


def _depth(graph: Sequence[Classified]) -> float:
    """The longest chain of working nodes."""
    depth: dict[str, int] = {}
    for each in graph:
        before = max((depth.get(name, 0) for name in each.node.feeds), default=0)
        after = before + (0 if each.kind == FREE else 1)
        depth.update(dict.fromkeys(each.node.gives, after))
    return float(max(depth.values(), default=0))
