"""Attention and mixtures of experts as matrix products.

Full products are counted, masked ones too, as runtimes compute them and counters count them.
"""

import math
from collections.abc import Callable, Mapping

from acesniper.predictor.onnx.matrix_products import Product, Products, Shape, operand
from acesniper.predictor.onnx.node import Node, names

PROJECTING = names(
    "Attention QAttention PackedAttention DecoderMaskedSelfAttention LongformerAttention"
)
"""Operators of com.microsoft that hold the product with the weights of Q, K and V."""

SEPARATE = names("MultiHeadAttention DecoderMaskedMultiHeadAttention PackedMultiHeadAttention")
GROUPED = frozenset(("GroupQueryAttention", "SparseAttention", "PagedAttention"))
EXPERTS = frozenset(("MoE", "QMoE"))


def scores(batch: float, heads: float, queries: float, keys: float, *sizes: float) -> Products:
    """The two products of attention; `sizes` of a head in queries and values."""
    return (
        Product(batch * heads, queries, keys, sizes[0]),
        Product(batch * heads, queries, sizes[-1], keys),
    )


def standard_attention(node: Node) -> Products:
    """Attention of the standard (opset 23): 4-D, or 3-D with heads in attributes."""
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
    return scores(batch, heads, length, keys + _length(past), *sizes)


def linear_attention(node: Node) -> Products:
    """A state of key x value per head, written and read once per step."""
    query, key, value = (operand(node, i).shape or () for i in range(3))
    heads, groups = node.integer("q_num_heads"), node.integer("kv_num_heads")
    if len(query) != 3 or len(key) != 3 or len(value) != 3 or heads < 1 or groups < 1:
        return ()
    steps, sizes = query[0] * query[1], (key[2] / groups, value[2] / groups)
    return (Product(steps * groups, sizes[0], sizes[1], 1), Product(steps * heads, 1, *sizes[::-1]))


def _projecting(node: Node) -> Products:
    given, matrix = operand(node, 0).shape or (), operand(node, 1).shape or ()
    heads = node.integer("num_heads")
    if len(given) < 2 or len(matrix) != 2 or heads < 1:
        return ()
    batch, length = (given[0], given[1]) if len(given) == 3 else (1, given[0])
    parts = node.integers("qkv_hidden_sizes") or (matrix[1] // 3,) * 3
    past = {"Attention": 4, "QAttention": 8, "DecoderMaskedSelfAttention": 4}.get(node.op)
    keys = cached(node, length, _length(operand(node, past).shape or ()) if past else 0)
    if node.op == "LongformerAttention":
        keys = min(keys, 2 * node.integer("window", keys) + 1)
    project = Product(1, batch * length, matrix[1], matrix[0])
    return (project, *scores(batch, heads, length, keys, parts[0] / heads, parts[2] / heads))


def _separate(node: Node) -> Products:
    query, key, value = (operand(node, i).shape or () for i in range(3))
    heads = node.integer("num_heads")
    if heads < 1 or len(query) not in (2, 3, 5):
        return ()
    if len(query) == 5:  # Q, K and V in one: batch, length, heads, 3, size
        return scores(query[0], query[2], query[1], query[1], query[4])
    batch, length, width = query if len(query) == 3 else (1, *query)
    past = _length(operand(node, 5 if node.op.startswith("Decoder") else 6).shape or ())
    keys, depth = _keys(key, length), width / heads
    values = value[-1] / heads if len(value) in (2, 3) else depth
    return scores(batch, heads, length, cached(node, keys, past), depth, values)


def _keys(key: Shape, length: int) -> int:
    """How many keys: (batch, keys, width), (batch, heads, keys, size), or packed K and V."""
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
    past = _length(operand(node, 3).shape or ()) if node.op != "PagedAttention" else 0
    return scores(batch, heads, length, cached(node, length, past), size)


def _experts(node: Node) -> Products:
    """Each token runs through its `k` experts: up (and gate), then down again."""
    given, chosen = operand(node, 0).shape or (), node.integer("k", 1)
    first, down, gate = (_inner(node, i) for i in range(3))
    if not given or not first:
        return ()
    tokens, width = math.prod(given[:-1]), given[-1]
    hidden = first / 2 if node.integer("swiglu_fusion") else first
    up = [Product(chosen, tokens, inner, width) for inner in (first, gate) if inner]
    return (*up, Product(chosen, tokens, width if down else 0, hidden))


def _inner(node: Node, layer: int) -> float:
    """The width of an expert's inner side; packed weights tell it by their scales alone."""
    if node.op == "QMoE":
        shape = operand(node, 3 + 3 * layer).shape or ()
        return shape[1] if len(shape) > 1 else 0
    shape = operand(node, 2 + 2 * layer).shape or ()
    width = (operand(node, 0).shape or (0,))[-1]
    return math.prod(shape[1:]) / width if len(shape) == 3 and width else 0


def cached(node: Node, given: int, past: int) -> int:
    """All keys: those given and those kept, or a buffer that has room for both."""
    return past if node.integer("past_present_share_buffer") and past else given + past


def _length(cache: Shape) -> int:
    """The steps in a cache of keys: (..., heads, steps, size)."""
    return cache[-2] if len(cache) >= 4 else 0


CONTRIB_ATTENTION: Mapping[str, Callable[[Node], Products]] = {
    **dict.fromkeys(PROJECTING, _projecting),
    **dict.fromkeys(SEPARATE, _separate),
    **dict.fromkeys(GROUPED, _grouped),
    **dict.fromkeys(EXPERTS, _experts),
}
"""By operators of com.microsoft."""
