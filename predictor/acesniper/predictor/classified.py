"""Nodes with their classes, after looking at their neighbours."""

from collections.abc import Iterable
from dataclasses import dataclass

from acesniper.predictor.classes import classify
from acesniper.predictor.features import FREE, HEAVY
from acesniper.predictor.nodes import Node
from acesniper.predictor.tensors import Tensor

ANCHORS = frozenset(HEAVY) | {"gemv"}
"""Classes whose kernels take a following activation along."""


@dataclass(frozen=True, slots=True)
class Classified:
    """A node with its class after looking at its neighbours, and the one it has `alone`."""

    node: Node
    kind: str
    alone: str


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes of a model that run, in order, and the tensors that it takes and gives."""

    nodes: tuple[Classified, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


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
        kind = alone = classify(node)
        moving = [n for n, t in zip(node.feeds, node.inputs, strict=True) if n and not t.constant]
        roots = {origin.get(name) for name in moving}
        root = roots.pop() if len(roots) == 1 else None
        if kind in ("elementwise", "norm") and root is not None and _may_ride(node, kind):
            kind = "fused"
        anchor = len(result) if kind in ANCHORS else root if kind in ("fused", FREE) else None
        if anchor is not None:
            origin.update(dict.fromkeys(node.gives, anchor))
        result.append(Classified(node, kind, alone))
    return result


def _may_ride(node: Node, kind: str) -> bool:
    return kind == "elementwise" or node.op == "BatchNormalization"
