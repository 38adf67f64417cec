"""What a graph keeps in memory: its weights and the activations alive at once."""

from collections import defaultdict
from collections.abc import Sequence

from acesniper.predictor.features import FREE
from acesniper.predictor.onnx.node import Node, Tensor
from acesniper.predictor.onnx.op_class import Classified


def weights(graph: Sequence[Classified]) -> dict[str, Tensor]:
    """Constants that feed a running node, by name; what was computed from shapes is none."""
    computed = {name for each in graph if each.node.folded for name in each.node.gives}
    return {
        name: tensor
        for each in graph
        for name, tensor in zip(each.node.feeds, each.node.inputs, strict=True)
        if name and tensor.constant and each.kind != FREE and name not in computed
    }


def peak_activations(graph: Sequence[Classified]) -> float:
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


def largest_activation(graph: Sequence[Classified]) -> float:
    """The bytes of the largest tensor that is no weight."""
    return max((size for each in graph for _, size in _touched(each.node)), default=0.0)
