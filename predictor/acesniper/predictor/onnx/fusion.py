"""Fusion that runtimes apply to a graph: decomposed normalisations and quantisation (QDQ).

Before operator set 17 (23 for the root-mean-square form) ONNX had no layer normalisation; exporters
write it as small operators, and runtimes find the pattern and compute it in one kernel.

Between a DequantizeLinear and the following QuantizeLinear a graph's tensors are float; a runtime
keeps the narrow type and computes with it (the QDQ format of ONNX). The sizes here follow it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from acesniper.predictor.onnx.node import Node, Tensor, op_names

DEQUANTIZE = frozenset(("DequantizeLinear",))
QUANTIZE = frozenset(("QuantizeLinear",))

QUANTISABLE = op_names(
    "Add ArgMax AveragePool Clip Concat Conv ConvTranspose Flatten Gather Gemm GlobalAveragePool "
    "LeakyRelu MatMul MaxPool Mul Pad ReduceMean Relu Reshape Resize Sigmoid Slice Softmax Split "
    "Squeeze Sub Transpose Unsqueeze Where"
)
"""Operators that runtimes compute in the narrow type between the two conversions."""


@dataclass(frozen=True, slots=True)
class DecomposedNorms:
    """Positions of the nodes that `close` a decomposed normalisation, and of its `inner` nodes."""

    close: set[int] = field(default_factory=set)
    inner: set[int] = field(default_factory=set)


def decomposed_norms(nodes: Sequence[Node]) -> DecomposedNorms:
    """Normalisations of the form x' / sqrt(mean(x'^2) + eps), with x' = x - mean(x) or x."""
    graph = _ValueIndex(nodes)
    norms = DecomposedNorms()
    for root, node in enumerate(nodes):
        if node.op != "Sqrt":
            continue
        variance = _variance(graph, root)
        if variance is None:
            continue
        *parts, centred = variance
        division = _division(graph, root, centred)
        if division is None:
            continue
        *between, close = division
        norms.close.add(close)
        norms.inner.update([root, *parts, *between, *_centring(graph, centred)])
    return norms


class _ValueIndex:
    """Producer and consumers of each value, as positions of nodes."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.producer = {name: i for i, node in enumerate(nodes) for name in node.output_names}
        self.consumers: defaultdict[str, list[int]] = defaultdict(list)
        for i, node in enumerate(nodes):
            for name in node.input_names:
                self.consumers[name].append(i)

    def before(self, place: int, *ops: str) -> int | None:
        """The producer of the first non-constant input, if it is one of these operators."""
        node = self.nodes[place]
        for name, tensor in zip(node.input_names, node.inputs, strict=True):
            if name and not tensor.constant:
                producer = self.producer.get(name)
                return producer if producer is not None and self.nodes[producer].op in ops else None
        return None


def _variance(graph: _ValueIndex, root: int) -> tuple[int, int, int, str] | None:
    """The nodes add, mean and square before a root, and the name of the squared value."""
    add = graph.before(root, "Add")
    mean = None if add is None else graph.before(add, "ReduceMean")
    square = None if mean is None else graph.before(mean, "Pow", "Mul")
    if add is None or mean is None or square is None:
        return None
    node = graph.nodes[square]
    if node.op == "Mul" and len(set(node.input_names)) > 1:
        return None
    return add, mean, square, node.input_names[0]


def _division(graph: _ValueIndex, root: int, centred: str) -> list[int] | None:
    """The nodes that divide by the root: a Div, or a reciprocal and a Mul."""
    for consumer in graph.consumers[graph.nodes[root].output_names[0]]:
        node = graph.nodes[consumer]
        if node.op == "Div" and centred in _aliases(graph, node.input_names[0]):
            return [consumer]
        if node.op in ("Reciprocal", "Div"):
            for next_consumer in graph.consumers[node.output_names[0]]:
                product = graph.nodes[next_consumer]
                factors = {alias for name in product.input_names for alias in _aliases(graph, name)}
                if product.op == "Mul" and centred in factors:
                    return [consumer, next_consumer]
    return None


def _aliases(graph: _ValueIndex, name: str) -> set[str]:
    """The names of a value: exporters repeat a difference, or cast it."""
    producer = graph.producer.get(name)
    node = None if producer is None else graph.nodes[producer]
    if node is None or node.op not in ("Cast", "Sub"):
        return {name}
    if node.op == "Cast":
        return {name, node.input_names[0]}
    return {output for i in _repeats(graph, node) for output in graph.nodes[i].output_names}


def _repeats(graph: _ValueIndex, node: Node) -> list[int]:
    """The nodes that compute the same difference as this one, including itself."""
    consumers = graph.consumers[node.input_names[0]]
    return [
        i
        for i in consumers
        if graph.nodes[i].op == "Sub" and graph.nodes[i].input_names == node.input_names
    ]


def _centring(graph: _ValueIndex, centred: str) -> list[int]:
    """The nodes that subtract the mean, if there are any."""
    producer = graph.producer.get(centred)
    if producer is None or graph.nodes[producer].op != "Sub":
        return []
    difference = graph.nodes[producer]
    mean = graph.producer.get(difference.input_names[1])
    is_mean = mean is not None and graph.nodes[mean].op == "ReduceMean"
    return [*_repeats(graph, difference), *([mean] if mean is not None and is_mean else [])]


def with_quantised_sizes(nodes: Sequence[Node]) -> list[Node]:
    """The nodes with the tensor sizes of a runtime that keeps quantised values narrow."""
    sizes = _narrow_item_bytes(nodes)
    if not sizes:
        return list(nodes)
    return [
        replace(
            node,
            inputs=_resized(node.input_names, node.inputs, sizes),
            outputs=_resized(node.output_names, node.outputs, sizes),
        )
        for node in nodes
    ]


def absorbed_conversions(nodes: Sequence[Node]) -> set[int]:
    """Positions of conversions that runtimes fuse into the operator before or after them."""
    producers = {name: node for node in nodes for name in node.output_names}
    consumers = _consumers(nodes)
    absorbed = set()
    for i, node in enumerate(nodes):
        if not node.output_names or not node.input_names:
            continue
        before = producers.get(node.input_names[0])
        after = consumers[node.output_names[0]]
        if node.op in QUANTIZE and before is not None and before.op in QUANTISABLE:
            absorbed.add(i)
        if node.op in DEQUANTIZE and after and _all_quantisable(after):
            absorbed.add(i)
    return absorbed


def _all_quantisable(nodes: Sequence[Node]) -> bool:
    return all(node.op in QUANTISABLE for node in nodes)


def _narrow_item_bytes(nodes: Sequence[Node]) -> dict[str, float]:
    """Bytes per element of the values that a runtime keeps narrow, by name."""
    producers = {name: node for node in nodes for name in node.output_names}
    consumers = _consumers(nodes)
    sizes: dict[str, float] = {}
    for node in nodes:
        if not node.inputs or not node.outputs:
            continue
        if node.op in DEQUANTIZE and _all_quantisable(consumers[node.output_names[0]]):
            sizes[node.output_names[0]] = node.inputs[0].item_bytes
        source = node.input_names[0]
        if (
            node.op in QUANTIZE
            and source in producers
            and producers[source].op in QUANTISABLE
            and all(consumer.op in QUANTIZE for consumer in consumers[source])
        ):
            sizes[source] = node.outputs[0].item_bytes
    return sizes


def _consumers(nodes: Sequence[Node]) -> defaultdict[str, list[Node]]:
    consumers: defaultdict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        for name in node.input_names:
            consumers[name].append(node)
    return consumers


def _resized(
    names: Sequence[str], tensors: Sequence[Tensor], sizes: dict[str, float]
) -> tuple[Tensor, ...]:
    return tuple(
        replace(tensor, item_bytes=sizes[name]) if name in sizes else tensor
        for name, tensor in zip(names, tensors, strict=True)
    )
