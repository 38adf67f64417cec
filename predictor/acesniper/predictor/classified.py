"""Nodes with their classes, after looking at their neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass

from acesniper.predictor.features import FREE, HEAVY
from acesniper.predictor.onnx.fusion import Norms, absorbed, narrowed, spelled_out_norms
from acesniper.predictor.onnx.node import Node, Tensor
from acesniper.predictor.onnx.op_class import classify

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


def classified(nodes: Sequence[Node]) -> list[Classified]:
    """The nodes that run, with elementwise ones that ride on a heavy one marked as fused.

    A node rides when all its changing inputs come from one heavy node: an activation, a bias, a
    gate computed from the same value; the sum of a residual does not. A normalisation written out
    in small operators counts where it ends, and the others ride on it.
    """
    origin: dict[str, int] = {}
    result: list[Classified] = []
    vanishing, norms = absorbed(nodes), spelled_out_norms(nodes)
    for place, node in enumerate(narrowed(nodes)):
        if (node.constant and node.inputs) or node.op == "Constant":
            continue
        kind = alone = _kind(place, node, norms)
        moving = [n for n, t in zip(node.feeds, node.inputs, strict=True) if n and not t.constant]
        roots = {origin.get(name) for name in moving}
        root = roots.pop() if len(roots) == 1 else None
        if place in vanishing or (root is not None and _may_ride(node, kind)):
            kind = "fused"
        anchored = kind in ANCHORS or place in norms.close
        anchor = len(result) if anchored else root if kind in ("fused", FREE) else None
        if anchor is not None and place not in norms.inner:
            origin.update(dict.fromkeys(node.gives, anchor))
        result.append(Classified(node, kind, alone))
    return result


def _kind(place: int, node: Node, norms: Norms) -> str:
    if place in norms.close | norms.inner:
        return "norm" if place in norms.close else "fused"
    return FREE if node.folded else classify(node)


def _may_ride(node: Node, kind: str) -> bool:
    return kind == "elementwise" or (kind == "norm" and node.op == "BatchNormalization")
