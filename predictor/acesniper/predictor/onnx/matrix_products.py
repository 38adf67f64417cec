"""Heavy operators expressed as matrix products, whose shapes and FLOPs follow.

A convolution is the product of its patches with its filters (im2col; Chellapilla et al. 2006), a
recurrent layer one product per step, attention two per head, a mixture of experts a few per token.
FLOPs are 2 x multiply-accumulates; efficiency on a device depends on the shapes. Masked
products count in full, since runtimes compute them in full and FLOP counters count them so.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from acesniper.predictor.onnx.node import MAX_TEXT_BYTES, OMITTED, Node, Tensor, op_names

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MatrixProduct:
    """`count` products of shape (rows x depth) @ (depth x columns)."""

    count: float
    rows: float
    columns: float
    depth: float

    @property
    def flops(self) -> float:
        """2 x multiply-accumulates."""
        return 2.0 * self.count * self.rows * self.columns * self.depth


Products = tuple[MatrixProduct, ...]

CONVOLUTIONS = op_names(
    "Conv ConvInteger QLinearConv DeformConv CausalConvWithState FusedConv NhwcConv NhwcFusedConv"
)
TRANSPOSED = frozenset(("ConvTranspose", "ConvTransposeWithDynamicPads", "QLinearConvTranspose"))
MATRIX_PRODUCTS = op_names(
    "MatMul MatMulInteger QLinearMatMul FusedMatMul TransposeMatMul FusedMatMulActivation "
    "GemmFastGelu MatMulInteger16 MatMulIntegerToFloat DynamicQuantizeMatMul "
    "QOrderedMatMul"
)
GEMMS = frozenset(("Gemm", "FusedGemm", "QGemm", "GemmFloat8"))
PACKED_PRODUCTS = frozenset(("MatMulNBits", "MatMulBnb4"))
"""Operators with bit-packed weights; attributes K and N give depth and columns."""

RECURRENT = {"LSTM": 4, "DynamicQuantizeLSTM": 4, "GRU": 3, "RNN": 1}
"""Number of gates of recurrent layers."""

WEIGHT = {
    **dict.fromkeys(("QLinearConv", "QLinearConvTranspose", "QLinearMatMul", "QGemm"), 3),
    **dict.fromkeys(("QOrderedMatMul", "MoE", "QMoE"), 2),
}
"""Position of the weight among the inputs, if it is not the second."""


def operand(node: Node, index: int) -> Tensor:
    """Input by position; OMITTED if it is omitted."""
    return node.inputs[index] if index < len(node.inputs) else OMITTED


def weight(node: Node) -> Tensor:
    """Weight matrix or kernel of a heavy operator."""
    return operand(node, WEIGHT.get(node.op, 1))


def channels_last(node: Node) -> bool:
    """Whether images have channels-last layout."""
    return node.op.startswith("Nhwc") or node.integer("channels_last") == 1 or node.nhwc


def pixels(node: Node) -> int:
    """Number of pixels of a convolution's output image."""
    shape = node.outputs[0].shape or ()
    return math.prod(shape[1:-1] if channels_last(node) else shape[2:])


def window(node: Node) -> Shape:
    """Spatial size of a convolution's kernel."""
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
    return (MatrixProduct(groups, rows, filters / groups, kernel.elements / filters),)


def _transposed(node: Node) -> Products:
    shape, groups = weight(node).shape or (), max(1, node.integer("group", 1))
    if len(shape) < 2 or not shape[0]:
        return ()
    rows = operand(node, 0).elements / shape[0]
    return (MatrixProduct(groups, rows, math.prod(shape[1:]), shape[0] / groups),)


def _transposed_if(shape: Shape, turn: int) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2]) if turn and len(shape) > 1 else shape


def _matrix(node: Node) -> Products:
    left = _transposed_if(operand(node, 0).shape or (), node.integer("transA"))
    right = _transposed_if(weight(node).shape or (), node.integer("transB"))
    if not left or not right:
        return ()
    depth, columns = left[-1], right[-1] if len(right) > 1 else 1
    outer = left[:-1] if len(left) > 1 else (1,)
    if math.prod(right[:-2]) == 1:
        return (MatrixProduct(1, math.prod(outer), columns, depth),)
    total = math.prod(_broadcast(left[:-2], right[:-2]))
    return (MatrixProduct(total, outer[-1], columns, depth),)


def _broadcast(one: Shape, other: Shape) -> Shape:
    size = max(len(one), len(other))
    pairs = zip((1,) * (size - len(one)) + one, (1,) * (size - len(other)) + other, strict=True)
    return tuple(b if a == 1 else a for a, b in pairs)


def _packed(node: Node) -> Products:
    depth, columns = node.integer("K"), node.integer("N")
    rows = operand(node, 0).elements / depth if depth > 0 else 0.0
    return (MatrixProduct(1, rows, columns, depth),)


def _recurrent(node: Node) -> Products:
    """One product over all steps for the input, and one per step for the state."""
    steps, given, hidden = (operand(node, i).shape or () for i in range(3))
    if len(steps) < 3 or len(given) < 3 or len(hidden) < 3:
        return ()
    size = node.integer("hidden_size", hidden[2])
    columns = RECURRENT[node.op] * size
    batch_first = node.integer("layout") == 1
    batch, length = (steps[0], steps[1]) if batch_first else (steps[1], steps[0])
    return (
        MatrixProduct(given[0], length * batch, columns, steps[2]),
        MatrixProduct(given[0] * length, batch, columns, size),
    )


def _einsum(node: Node) -> Products:
    """Products of two operands at a time, from the left, as runtimes compute them.

    A letter that both operands have is summed over if no later operand nor the result needs it,
    and otherwise counts products; a letter of one operand is a row or a column.
    """
    sides, result, sizes = einsum_letters(node)

    def extent(letters: set[str]) -> float:
        return float(math.prod(sizes[letter] for letter in letters))

    later, products = [*accumulate(reversed(sides[2:]), set.union, initial=result)][::-1], []
    left = sides[0] if sides else set()
    for right, needed in zip(sides[1:], later, strict=False):
        both, rows, columns = left & right, (left - right) & needed, (right - left) & needed
        counts, summed = extent(both & needed), extent(both - needed)
        products.append(MatrixProduct(counts, extent(rows), extent(columns), summed))
        left = (left | right) & needed
    return tuple(products)


def einsum_letters(node: Node) -> tuple[list[set[str]], set[str], Mapping[str, int]]:
    """Letters of each operand and of the result, and their sizes; no operands if they mismatch.

    The dimensions of an ellipsis are named by numbers, counted from the right.
    """
    equation = node.text("equation")[:MAX_TEXT_BYTES].replace(" ", "")
    terms, arrow, result = equation.partition("->")
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
    counts = Counter(terms.replace(",", ""))
    given = _letters(result, hidden) if arrow else [c for c, count in counts.items() if count == 1]
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


PROJECTING_ATTENTION = op_names(
    "Attention QAttention PackedAttention DecoderMaskedSelfAttention LongformerAttention"
)
"""Operators of com.microsoft that include the projection to Q, K and V."""

MULTI_HEAD_ATTENTION = op_names(
    "MultiHeadAttention DecoderMaskedMultiHeadAttention PackedMultiHeadAttention"
)
GROUPED_ATTENTION = frozenset(("GroupQueryAttention", "SparseAttention", "PagedAttention"))
EXPERTS = frozenset(("MoE", "QMoE"))


def attention_products(
    batch: float, heads: float, queries: float, keys: float, *sizes: float
) -> Products:
    """The two products of attention; `sizes` are the head sizes of queries and of values."""
    return (
        MatrixProduct(batch * heads, queries, keys, sizes[0]),
        MatrixProduct(batch * heads, queries, sizes[-1], keys),
    )


def standard_attention(node: Node) -> Products:
    """ONNX's Attention (opset 23): 4-D inputs, or 3-D with the heads in attributes."""
    query, key, value, past = (operand(node, i).shape or () for i in (0, 1, 2, 4))
    heads = node.integer("q_num_heads")
    groups = node.integer("kv_num_heads") or heads
    if len(query) == 3 and heads > 0 and len(key) == len(value) == 3:
        batch, length, width = query
        sizes = (width / heads, value[2] / groups)
        keys = key[1]
    elif len(query) == len(key) == len(value) == 4:
        batch, heads, length, width = query
        sizes, keys = (float(width), float(value[3])), key[2]
    else:
        return ()
    return attention_products(batch, heads, length, keys + _cached_steps(past), *sizes)


def linear_attention(node: Node) -> Products:
    """Linear attention: a key x value state per head, written and read once per step."""
    query, key, value = (operand(node, i).shape or () for i in range(3))
    heads, groups = node.integer("q_num_heads"), node.integer("kv_num_heads")
    if len(query) != 3 or len(key) != 3 or len(value) != 3 or heads < 1 or groups < 1:
        return ()
    steps, sizes = query[0] * query[1], (key[2] / groups, value[2] / groups)
    return (
        MatrixProduct(steps * groups, sizes[0], sizes[1], 1),
        MatrixProduct(steps * heads, 1, *sizes[::-1]),
    )


def _projecting_qkv(node: Node) -> Products:
    given, matrix = operand(node, 0).shape or (), operand(node, 1).shape or ()
    heads = node.integer("num_heads")
    if len(given) < 2 or len(matrix) != 2 or heads < 1:
        return ()
    batch, length = (given[0], given[1]) if len(given) == 3 else (1, given[0])
    parts = node.integers("qkv_hidden_sizes") or (matrix[1] // 3,) * 3
    past = {"Attention": 4, "QAttention": 8, "DecoderMaskedSelfAttention": 4}.get(node.op)
    keys = total_keys(node, length, _cached_steps(operand(node, past).shape or ()) if past else 0)
    if node.op == "LongformerAttention":
        keys = min(keys, 2 * node.integer("window", keys) + 1)
    project = MatrixProduct(1, batch * length, matrix[1], matrix[0])
    return (
        project,
        *attention_products(batch, heads, length, keys, parts[0] / heads, parts[2] / heads),
    )


def _separate_qkv(node: Node) -> Products:
    query, key, value = (operand(node, i).shape or () for i in range(3))
    heads = node.integer("num_heads")
    if heads < 1 or len(query) not in (2, 3, 5):
        return ()
    if len(query) == 5:  # Q, K and V in one: batch, length, heads, 3, size
        return attention_products(query[0], query[2], query[1], query[1], query[4])
    batch, length, width = query if len(query) == 3 else (1, *query)
    past = _cached_steps(operand(node, 5 if node.op.startswith("Decoder") else 6).shape or ())
    keys, depth = _keys(key, length), width / heads
    values = value[-1] / heads if len(value) in (2, 3) else depth
    return attention_products(batch, heads, length, total_keys(node, keys, past), depth, values)


def _keys(key: Shape, length: int) -> int:
    """Number of keys: (batch, keys, width), (batch, heads, keys, size), or packed K and V."""
    if len(key) == 4:
        return key[2]
    return key[1] if len(key) in (3, 5) else length


def _grouped(node: Node) -> Products:
    query, key = operand(node, 0).shape or (), operand(node, 1).shape or ()
    heads, groups = node.integer("num_heads"), node.integer("kv_num_heads")
    if heads < 1 or groups < 1 or len(query) not in (2, 3):
        return ()
    batch, length, width = query if len(query) == 3 else (1, *query)
    size = width / heads if key else width / (heads + 2 * groups)
    past = _cached_steps(operand(node, 3).shape or ()) if node.op != "PagedAttention" else 0
    return attention_products(batch, heads, length, total_keys(node, length, past), size)


def _experts(node: Node) -> Products:
    """Each token runs through `k` experts: up (and gate), then down."""
    given, active = operand(node, 0).shape or (), node.integer("k", 1)
    first, down, gate = (_hidden_width(node, i) for i in range(3))
    if not given or not first:
        return ()
    tokens, width = math.prod(given[:-1]), given[-1]
    hidden = first / 2 if node.integer("swiglu_fusion") else first
    up = [MatrixProduct(active, tokens, inner, width) for inner in (first, gate) if inner]
    return (*up, MatrixProduct(active, tokens, width if down else 0, hidden))


def _hidden_width(node: Node, layer: int) -> float:
    """Hidden width of an expert; for packed weights it follows from the scales alone."""
    if node.op == "QMoE":
        shape = operand(node, 3 + 3 * layer).shape or ()
        return shape[1] if len(shape) > 1 else 0
    shape = operand(node, 2 + 2 * layer).shape or ()
    width = (operand(node, 0).shape or (0,))[-1]
    return math.prod(shape[1:]) / width if len(shape) == 3 and width else 0


def total_keys(node: Node, given: int, past: int) -> int:
    """Number of keys: new and cached ones, or the size of a buffer for both."""
    return past if node.integer("past_present_share_buffer") and past else given + past


def _cached_steps(cache: Shape) -> int:
    """Number of steps in a key cache of shape (..., heads, steps, size)."""
    return cache[-2] if len(cache) >= 4 else 0


CONTRIB_ATTENTION: Mapping[str, Callable[[Node], Products]] = {
    **dict.fromkeys(PROJECTING_ATTENTION, _projecting_qkv),
    **dict.fromkeys(MULTI_HEAD_ATTENTION, _separate_qkv),
    **dict.fromkeys(GROUPED_ATTENTION, _grouped),
    **dict.fromkeys(EXPERTS, _experts),
}
"""Product functions by operator of com.microsoft."""
