"""Compute the small constants that shapes depend on.

Exporters leave arithmetic on shapes in the graph. With the inputs bound it is a matter of a few
numbers, computed here by the definitions of the ONNX operators.
"""

import math
from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, helper

from acesniper.predictor.arithmetic import BINARY, FOLDABLE, Array, Given
from acesniper.predictor.nodes import Node
from acesniper.predictor.scope import Scope, dims_of
from acesniper.predictor.tensors import KEPT_ELEMENTS, values


def fold(proto: NodeProto, node: Node, scope: Scope) -> Sequence[Array] | None:
    """The values of a node's outputs; None where they depend on data, or are large."""
    if not node.standard or not proto.output:
        return None
    if node.op in ("Shape", "Size"):
        return _of_shape(node, scope)
    if node.op == "Constant":
        return _constant(proto)
    if node.op not in FOLDABLE or any(name and name not in scope.protos for name in proto.input):
        return None
    given = [scope.array(name) if name else None for name in proto.input]
    if not _stays_small(node, given):
        return None
    try:
        with np.errstate(all="ignore"):
            result = FOLDABLE[node.op](node, given)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
        return None  # left to the check that nothing stays unknown
    results = result if isinstance(result, list) else [result]
    return results if len(results) >= len(proto.output) else None


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
