"""Normalisations that an exporter wrote out in small operators.

Before operator set 17 (23 for the root-mean-square form) ONNX had no layer normalisation; runtimes
find the pattern and compute it in one kernel.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from acesniper.predictor.onnx.node import Node, Tensor, op_names


@dataclass(frozen=True, slots=True)
class DecomposedNorms:
    """By position: the nodes that `close` a normalisation, and the `inner` ones they stand for."""

    close: set[int] = field(default_factory=set)
    inner: set[int] = field(default_factory=set)


def decomposed_norms(nodes: Sequence[Node]) -> DecomposedNorms:
    """The normalisations in a graph: x' / sqrt(mean(x'^2) + eps), with x' = x - mean(x) or x."""
    graph = _Index(nodes)
    found = DecomposedNorms()
    for root, node in enumerate(nodes):
        if node.op != "Sqrt":
            continue
        inner = _variance(graph, root)
        if inner is None:
            continue
        *parts, centred = inner
        last = _last(graph, root, centred)
        if last is None:
            continue
        *between, close = last
        found.close.add(close)
        found.inner.update([root, *parts, *between, *_centring(graph, centred)])
    return found


class _Index:
    """Who gives and who reads a value."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.maker = {name: i for i, node in enumerate(nodes) for name in node.gives}
        self.readers: defaultdict[str, list[int]] = defaultdict(list)
        for i, node in enumerate(nodes):
            for name in node.feeds:
                self.readers[name].append(i)

    def before(self, place: int, *ops: str) -> int | None:
        """The node of one of these kinds that gives the first changing input."""
        node = self.nodes[place]
        for name, tensor in zip(node.feeds, node.inputs, strict=True):
            if name and not tensor.constant:
                maker = self.maker.get(name)
                return maker if maker is not None and self.nodes[maker].op in ops else None
        return None


def _variance(graph: _Index, root: int) -> tuple[int, int, int, str] | None:
    """The nodes add, mean and square before a root, and the name of what is squared."""
    add = graph.before(root, "Add")
    mean = None if add is None else graph.before(add, "ReduceMean")
    square = None if mean is None else graph.before(mean, "Pow", "Mul")
    if add is None or mean is None or square is None:
        return None
    node = graph.nodes[square]
    if node.op == "Mul" and len(set(node.feeds)) > 1:
        return None
    return add, mean, square, node.feeds[0]


def _last(graph: _Index, root: int, centred: str) -> list[int] | None:
    """From the root to the division: a Div, or a reciprocal and a Mul."""
    for reader in graph.readers[graph.nodes[root].gives[0]]:
        node = graph.nodes[reader]
        if node.op == "Div" and centred in _same(graph, node.feeds[0]):
            return [reader]
        if node.op in ("Reciprocal", "Div"):
            for behind in graph.readers[node.gives[0]]:
                product = graph.nodes[behind]
                same = {each for name in product.feeds for each in _same(graph, name)}
                if product.op == "Mul" and centred in same:
                    return [reader, behind]
    return None


def _same(graph: _Index, name: str) -> set[str]:
    """The names of a value: exporters repeat a difference, or cast it."""
    maker = graph.maker.get(name)
    node = None if maker is None else graph.nodes[maker]
    if node is None or node.op not in ("Cast", "Sub"):
        return {name}
    if node.op == "Cast":
        return {name, node.feeds[0]}
    return {each for i in _repeats(graph, node) for each in graph.nodes[i].gives}


def _repeats(graph: _Index, node: Node) -> list[int]:
    """The nodes that compute the same difference, itself among them."""
    readers = graph.readers[node.feeds[0]]
    return [i for i in readers if graph.nodes[i].op == "Sub" and graph.nodes[i].feeds == node.feeds]


def _centring(graph: _Index, centred: str) -> list[int]:
    """The nodes that take the mean away, if there are any."""
    maker = graph.maker.get(centred)
    if maker is None or graph.nodes[maker].op != "Sub":
        return []
    subtracted = graph.nodes[maker]
    mean = graph.maker.get(subtracted.feeds[1])
    averages = mean is not None and graph.nodes[mean].op == "ReduceMean"
    return [*_repeats(graph, subtracted), *([mean] if mean is not None and averages else [])]


# TODO merge docstring of acesniper.predictor.onnx.fusion:
# What quantised graphs really keep and move.
#
# Between a DequantizeLinear and the QuantizeLinear behind it a graph says "float"; a runtime keeps
# the narrow type and computes with it (the QDQ format of ONNX). So do the bytes here.

WIDENING = frozenset(("DequantizeLinear",))
NARROWING = frozenset(("QuantizeLinear",))

QUANTISABLE = op_names(
    "Add ArgMax AveragePool Clip Concat Conv ConvTranspose Flatten Gather Gemm GlobalAveragePool "
    "LeakyRelu MatMul MaxPool Mul Pad ReduceMean Relu Reshape Resize Sigmoid Slice Softmax Split "
    "Squeeze Sub Transpose Unsqueeze Where"
)
"""Operators that runtimes compute in the narrow type when they stand between the two."""


def quantised_sizes(nodes: Sequence[Node]) -> list[Node]:
    """The nodes with the sizes that their tensors have in a runtime that keeps them narrow."""
    sizes = _sizes(nodes)
    if not sizes:
        return list(nodes)
    return [
        replace(
            node,
            inputs=_resized(node.feeds, node.inputs, sizes),
            outputs=_resized(node.gives, node.outputs, sizes),
        )
        for node in nodes
    ]


def absorbed_conversions(nodes: Sequence[Node]) -> set[int]:
    """The positions of conversions that vanish in the operator before or behind them."""
    makers = {name: node for node in nodes for name in node.gives}
    readers = _readers(nodes)
    found = set()
    for i, node in enumerate(nodes):
        if not node.gives or not node.feeds:
            continue
        before = makers.get(node.feeds[0])
        behind = readers[node.gives[0]]
        if node.op in NARROWING and before is not None and _computes(before):
            found.add(i)
        if node.op in WIDENING and behind and all(_computes(each) for each in behind):
            found.add(i)
    return found


def _computes(node: Node) -> bool:
    return node.op in QUANTISABLE


def _sizes(nodes: Sequence[Node]) -> dict[str, float]:
    """Bytes per element of the values that a conversion makes narrow, by name."""
    makers = {name: node for node in nodes for name in node.gives}
    readers = _readers(nodes)
    sizes: dict[str, float] = {}
    for node in nodes:
        if not node.inputs or not node.outputs:
            continue
        if node.op in WIDENING and all(_computes(each) for each in readers[node.gives[0]]):
            sizes[node.gives[0]] = node.inputs[0].item_bytes
        made = node.feeds[0]
        if (
            node.op in NARROWING
            and made in makers
            and _computes(makers[made])
            and all(each.op in NARROWING for each in readers[made])
        ):
            sizes[made] = node.outputs[0].item_bytes
    return sizes


def _readers(nodes: Sequence[Node]) -> defaultdict[str, list[Node]]:
    readers: defaultdict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        for name in node.feeds:
            readers[name].append(node)
    return readers


def _resized(
    given: Sequence[str], tensors: Sequence[Tensor], sizes: dict[str, float]
) -> tuple[Tensor, ...]:
    return tuple(
        replace(tensor, item_bytes=sizes[name]) if name in sizes else tensor
        for name, tensor in zip(given, tensors, strict=True)
    )
