"""Heavy operators as the matrix products that they are.

A convolution is the product of its patches with its filters (im2col; Chellapilla et al. 2006), a
recurrent layer one product per step, attention two per head. From these come the FLOPs, counted as
2 x multiply-accumulates, and the shapes that tell how well a device runs them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from acesniper.predictor.onnx.node import NOTHING, Node, Tensor, names

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """`count` products of the shape (rows x depth) @ (depth x columns)."""

    count: float
    rows: float
    columns: float
    depth: float

    @property
    def flops(self) -> float:
        """2 x multiply-accumulates."""
        return 2.0 * self.count * self.rows * self.columns * self.depth


Products = tuple[Product, ...]

CONVOLUTIONS = names(
    "Conv ConvInteger QLinearConv DeformConv CausalConvWithState FusedConv NhwcConv NhwcFusedConv"
)
TRANSPOSED = frozenset(("ConvTranspose", "ConvTransposeWithDynamicPads", "QLinearConvTranspose"))
MATRIX_PRODUCTS = names(
    "MatMul MatMulInteger QLinearMatMul FusedMatMul TransposeMatMul FusedMatMulActivation "
    "GemmFastGelu MatMulInteger16 MatMulIntegerToFloat DynamicQuantizeMatMul "
    "QOrderedMatMul"
)
GEMMS = frozenset(("Gemm", "FusedGemm", "QGemm", "GemmFloat8"))
PACKED_PRODUCTS = frozenset(("MatMulNBits", "MatMulBnb4"))
"""Their weights are packed bits; attributes K and N say depth and columns."""

RECURRENT = {"LSTM": 4, "DynamicQuantizeLSTM": 4, "GRU": 3, "RNN": 1}
"""Gates of recurrent layers."""

WEIGHT = {
    **dict.fromkeys(("QLinearConv", "QLinearConvTranspose", "QLinearMatMul", "QGemm"), 3),
    **dict.fromkeys(("QOrderedMatMul", "MoE", "QMoE"), 2),
}
"""Where the weight stands, if not second."""


def operand(node: Node, index: int) -> Tensor:
    """An input by position; NOTHING where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else NOTHING


def weight(node: Node) -> Tensor:
    """The matrix or kernel of a heavy operator."""
    return operand(node, WEIGHT.get(node.op, 1))


def channels_last(node: Node) -> bool:
    """Whether images lie in memory with their channels last."""
    return node.op.startswith("Nhwc") or node.integer("channels_last") == 1 or node.nhwc


def pixels(node: Node) -> int:
    """The positions of an image that a convolution gives, without batch and channels."""
    shape = node.outputs[0].shape or ()
    return math.prod(shape[1:-1] if channels_last(node) else shape[2:])


def window(node: Node) -> Shape:
    """The spatial size of a convolution's kernel."""
    shape = weight(node).shape or ()
    return shape[1:-1] if node.op.startswith("Nhwc") else shape[2:]


def _convolution(node: Node) -> Products:
    kernel, groups = weight(node), max(1, node.integer("group", 1))
    filters = (kernel.shape or (0,))[0]
    if not filters:
        return ()
    if node.op == "CausalConvWithState":
        groups = filters
    rows = node.outputs[0].elements / filters
    return (Product(groups, rows, filters / groups, kernel.elements / filters),)


def _transposed(node: Node) -> Products:
    shape, groups = weight(node).shape or (), max(1, node.integer("group", 1))
    if len(shape) < 2 or not shape[0]:
        return ()
    rows = operand(node, 0).elements / shape[0]
    return (Product(groups, rows, math.prod(shape[1:]), shape[0] / groups),)


def _turned(shape: Shape, turn: int) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2]) if turn and len(shape) > 1 else shape


def _matrix(node: Node) -> Products:
    left = _turned(operand(node, 0).shape or (), node.integer("transA"))
    right = _turned(weight(node).shape or (), node.integer("transB"))
    if not left or not right:
        return ()
    depth, columns = left[-1], right[-1] if len(right) > 1 else 1
    outer = left[:-1] if len(left) > 1 else (1,)
    if math.prod(right[:-2]) == 1:
        return (Product(1, math.prod(outer), columns, depth),)
    total = math.prod(_broadcast(left[:-2], right[:-2]))
    return (Product(total, outer[-1], columns, depth),)


def _broadcast(one: Shape, other: Shape) -> Shape:
    size = max(len(one), len(other))
    pairs = zip((1,) * (size - len(one)) + one, (1,) * (size - len(other)) + other, strict=True)
    return tuple(b if a == 1 else a for a, b in pairs)


def _packed(node: Node) -> Products:
    depth, columns = node.integer("K"), node.integer("N")
    rows = operand(node, 0).elements / depth if depth > 0 else 0.0
    return (Product(1, rows, columns, depth),)


def _recurrent(node: Node) -> Products:
    """A product over all steps for the input, and one per step for the state."""
    steps, given, hidden = (operand(node, i).shape or () for i in range(3))
    if len(steps) < 3 or len(given) < 3 or len(hidden) < 3:
        return ()
    size = node.integer("hidden_size", hidden[2])
    columns = RECURRENT[node.op] * size
    batch_first = node.integer("layout") == 1
    batch, length = (steps[0], steps[1]) if batch_first else (steps[1], steps[0])
    return (
        Product(given[0], length * batch, columns, steps[2]),
        Product(given[0] * length, batch, columns, size),
    )


def _einsum(node: Node) -> Products:
    """Two operands at a time, from the left, as runtimes do.

    What the operands share is summed over where nothing behind it needs it, and counts products
    where something does; letters of one operand are its side.
    """
    sides, result, sizes = einsum_letters(node)

    def extent(letters: set[str]) -> float:
        return float(math.prod(sizes[each] for each in letters))

    found = []
    left = sides[0] if sides else set()
    for place, right in enumerate(sides[1:], start=2):
        needed = result.union(*sides[place:])
        both, rows, columns = left & right, (left - right) & needed, (right - left) & needed
        counts, summed = extent(both & needed), extent(both - needed)
        found.append(Product(counts, extent(rows), extent(columns), summed))
        left = (left | right) & needed
    return tuple(found)


def einsum_letters(node: Node) -> tuple[list[set[str]], set[str], Mapping[str, int]]:
    """The letters of each operand, of the result, and their sizes; no operand for a misfit.

    The dimensions that an ellipsis stands for get numbers, counted from the right, as letters.
    """
    terms, arrow, result = node.text("equation").replace(" ", "").partition("->")
    sizes: dict[str, int] = {}
    sides: list[set[str]] = []
    for term, tensor in zip(terms.split(","), node.inputs, strict=False):
        named = len(term.replace("...", ""))
        hidden = len(tensor.shape or ()) - named
        letters = _letters(term, hidden)
        for letter, size in zip(letters, tensor.shape or (), strict=False):
            sizes[letter] = max(size, sizes.get(letter, 1))
        sides.append(set(letters))
    if len(sides) != len(node.inputs):
        return [], set(), {}
    hidden = sum(letter.isdigit() for letter in sizes)
    every = "".join(terms.split(","))
    given = _letters(result, hidden) if arrow else [c for c in every if every.count(c) == 1]
    return sides, set(given), sizes


def _letters(term: str, hidden: int) -> list[str]:
    before, dots, after = term.partition("...")
    return [*before, *(str(i) for i in reversed(range(hidden)) if dots), *after]


PRODUCTS: Mapping[str, Callable[[Node], Products]] = {
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys(TRANSPOSED, _transposed),
    **dict.fromkeys(MATRIX_PRODUCTS | GEMMS, _matrix),
    **dict.fromkeys(PACKED_PRODUCTS, _packed),
    **dict.fromkeys(RECURRENT, _recurrent),
    "Einsum": _einsum,
}
