"""Compute the small constants that shapes depend on.

Exporters leave arithmetic on shapes in the graph. With the inputs bound it is a matter of a few
numbers, computed here by the definitions of the ONNX operators.
"""

import math
from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, TypeProto, helper
from onnx.reference import ReferenceEvaluator

from acesniper.predictor.onnx.fold import BINARY, FOLDABLE, Array, Given
from acesniper.predictor.onnx.node import KEPT_ELEMENTS, RANDOM, Node, has_subgraph, values
from acesniper.predictor.onnx.scope import Scope, dims_of

FEW = 64
"""Elements of a result worth the slow evaluator."""

FAILURES = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError),
    *(RuntimeError, NotImplementedError),
)
"""What an operator raises that does not fit its inputs."""


def fold(
    proto: NodeProto, node: Node, scope: Scope, types: Sequence[TypeProto], opset: int
) -> Sequence[Array] | None:
    """The values of a node's outputs; None where they depend on data, or are large."""
    if not node.standard or not proto.output:
        return None
    if node.op in ("Shape", "Size"):
        return _of_shape(node, scope)
    if node.op == "Constant":
        return _constant(proto)
    if any(name and name not in scope.protos for name in proto.input) or not any(proto.input):
        return None
    given = [scope.array(name) if name else None for name in proto.input]
    try:
        with np.errstate(all="ignore"):
            results = _computed(proto, node, given, types, opset)
    except FAILURES:
        return None  # left to the check that nothing stays unknown
    if len(results) < len(proto.output):
        return None
    return [_typed(value, kind) for value, kind in zip(results, types, strict=False)]


def _typed(value: Array, kind: TypeProto) -> Array:
    """The value in the type that the operator gives; numpy widens some sums."""
    element = kind.tensor_type.elem_type
    return value.astype(helper.tensor_dtype_to_np_dtype(element)) if element else value


def _computed(
    proto: NodeProto, node: Node, given: Given, types: Sequence[TypeProto], opset: int
) -> Sequence[Array]:
    if node.op in FOLDABLE:
        if not _stays_small(node, given):
            return ()
        result = FOLDABLE[node.op](node, given)
        return result if isinstance(result, list) else [result]
    shapes = [dims_of(kind) for kind in types]
    small = all(s is not None and 0 < math.prod(dim or 0 for dim in s) <= FEW for s in shapes)
    if node.op in RANDOM or has_subgraph(proto) or not small:
        return ()
    return _by_reference(proto, given, opset)


def _by_reference(proto: NodeProto, given: Given, opset: int) -> Sequence[Array]:
    """What ONNX's own, slow, evaluator makes of a rare operator."""
    feeds = {
        name: value for name, value in zip(proto.input, given, strict=True) if value is not None
    }
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in proto.output if name]
    graph = helper.make_graph([proto], "fold", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return [np.asarray(each) for each in ReferenceEvaluator(model).run(None, feeds)]


def _of_shape(node: Node, scope: Scope) -> Sequence[Array] | None:
    dims = dims_of(scope.types[node.feeds[0]]) if node.feeds and node.feeds[0] else None
    if dims is None:
        return None
    if node.op == "Shape":
        dims = dims[node.integer("start") : node.integer("end", len(dims))]
    known = [dim for dim in dims if dim is not None]
    if len(known) != len(dims):
        return None
    result = math.prod(known) if node.op == "Size" else known
    return [np.asarray(result, dtype=np.int64)]


def _constant(proto: NodeProto) -> Sequence[Array] | None:
    for attribute in proto.attribute:
        if attribute.name == "value":
            size = math.prod(attribute.t.dims)
            return [values(attribute.t)] if size <= KEPT_ELEMENTS else None
        if attribute.name in ("value_int", "value_ints"):
            return [np.asarray(helper.get_attribute_value(attribute), dtype=np.int64)]
        if attribute.name in ("value_float", "value_floats"):
            return [np.asarray(helper.get_attribute_value(attribute), dtype=np.float32)]
    return None


def _stays_small(node: Node, given: Given) -> bool:
    """Whether an operator that can blow up a tiny input does not do so here."""
    operands = [each for each in given if each is not None]
    if not operands:
        return False
    if node.op == "Range":
        start, limit, delta = (float(np.ravel(each)[0]) for each in operands)
        return delta != 0 and abs((limit - start) / delta) <= KEPT_ELEMENTS
    if node.op in ("ConstantOfShape", "Expand", "Tile"):
        size = operands[0].size if node.op != "ConstantOfShape" else 1
        return float(np.prod(operands[-1].astype(np.float64))) * size <= KEPT_ELEMENTS
    if node.op in BINARY:
        try:
            return math.prod(np.broadcast_shapes(*(x.shape for x in operands))) <= KEPT_ELEMENTS
        except ValueError:
            return False
    return True
