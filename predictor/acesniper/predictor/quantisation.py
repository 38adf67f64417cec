"""What quantised graphs really keep and move.

Between a DequantizeLinear and the QuantizeLinear behind it a graph says "float"; a runtime keeps
the narrow type and computes with it (the QDQ format of ONNX). So do the bytes here.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from acesniper.predictor.onnx.node import Node, Tensor, names

WIDENING = frozenset(("DequantizeLinear",))
NARROWING = frozenset(("QuantizeLinear",))

QUANTISABLE = names(
    "Add ArgMax AveragePool Clip Concat Conv ConvTranspose Flatten Gather Gemm GlobalAveragePool "
    "LeakyRelu MatMul MaxPool Mul Pad ReduceMean Relu Reshape Resize Sigmoid Slice Softmax Split "
    "Squeeze Sub Transpose Unsqueeze Where"
)
"""Operators that runtimes compute in the narrow type when they stand between the two."""


def narrowed(nodes: Sequence[Node]) -> list[Node]:
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


def absorbed(nodes: Sequence[Node]) -> set[int]:
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
