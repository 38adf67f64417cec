"""Constant folding of the small tensors that shapes depend on.

Exporters leave arithmetic on shapes in the graph. Once the inputs are bound, it involves a few
numbers, computed here by the definitions of the ONNX operators.

An operator of FOLDABLE takes the node and its inputs (None for an omitted one) and returns one
value, or a list for several outputs; it raises ValueError or the like if it cannot compute them.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import NodeProto, TensorProto, TypeProto, helper
from onnx.reference import ReferenceEvaluator

from acesniper.predictor.onnx.node import (
    BY_REFERENCE,
    KEPT_ELEMENTS,
    Node,
    has_subgraph,
    tensor_values,
)
from acesniper.predictor.onnx.scope import Scope, dims_of

Array = np.ndarray
Inputs = Sequence[Array | None]

MAX_REFERENCE_ELEMENTS = 64
"""Maximum elements of a result for which the slow reference evaluator is used."""

FAILURES = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError)
"""Errors of an operator whose inputs do not match its definition, NotImplementedError included."""


def fold(
    proto: NodeProto, node: Node, scope: Scope, types: Sequence[TypeProto], opset: int
) -> Sequence[Array] | None:
    """Values of a node's outputs; None if they depend on data or are large."""
    if not node.standard or not proto.output:
        return None
    if node.op in ("Shape", "Size"):
        return _of_shape(node, scope)
    if node.op == "Constant":
        return _constant(proto)
    if any(name and name not in scope.protos for name in proto.input) or not any(proto.input):
        return None
    inputs = [scope.array(name) if name else None for name in proto.input]
    try:
        with np.errstate(all="ignore"):
            results = _computed(proto, node, inputs, types, opset)
    except FAILURES:
        return None  # unknown shapes are reported later
    if len(results) < len(proto.output):
        return None
    return [_typed(value, kind) for value, kind in zip(results, types, strict=False)]


def _typed(value: Array, kind: TypeProto) -> Array:
    """Value with the element type of the operator's output; numpy widens some sums."""
    element = kind.tensor_type.elem_type
    return value.astype(helper.tensor_dtype_to_np_dtype(element)) if element else value


def _computed(
    proto: NodeProto, node: Node, inputs: Inputs, types: Sequence[TypeProto], opset: int
) -> Sequence[Array]:
    if node.op in FOLDABLE:
        if not _stays_small(node, inputs):
            return ()
        result = FOLDABLE[node.op](node, inputs)
        return result if isinstance(result, list) else [result]
    shapes = [dims_of(kind) for kind in types]
    small = all(
        s is not None and 0 < math.prod(dim or 0 for dim in s) <= MAX_REFERENCE_ELEMENTS
        for s in shapes
    )
    if node.op not in BY_REFERENCE or has_subgraph(proto) or not small:
        return ()
    return _by_reference(proto, inputs, opset)


def _by_reference(proto: NodeProto, inputs: Inputs, opset: int) -> Sequence[Array]:
    """Outputs of a rare operator by ONNX's reference evaluator, which is slow."""
    feeds = {
        name: value for name, value in zip(proto.input, inputs, strict=True) if value is not None
    }
    input_infos = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in proto.output if name]
    graph = helper.make_graph([proto], "fold", input_infos, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return [np.asarray(output) for output in ReferenceEvaluator(model).run(None, feeds)]


def _of_shape(node: Node, scope: Scope) -> Sequence[Array] | None:
    dims = (
        dims_of(scope.types[node.input_names[0]])
        if node.input_names and node.input_names[0]
        else None
    )
    if dims is None:
        return None
    if node.op == "Shape":
        dims = dims[node.integer("start") : node.integer("end", len(dims))]
    sizes = [dim for dim in dims if dim is not None]
    if len(sizes) != len(dims):
        return None
    result = math.prod(sizes) if node.op == "Size" else sizes
    return [np.asarray(result, dtype=np.int64)]


def _constant(proto: NodeProto) -> Sequence[Array] | None:
    for attribute in proto.attribute:
        if attribute.name == "value":
            size = math.prod(attribute.t.dims)
            return [tensor_values(attribute.t)] if size <= KEPT_ELEMENTS else None
        if attribute.name in ("value_int", "value_ints"):
            return [np.asarray(helper.get_attribute_value(attribute), dtype=np.int64)]
        if attribute.name in ("value_float", "value_floats"):
            return [np.asarray(helper.get_attribute_value(attribute), dtype=np.float32)]
    return None


def _stays_small(node: Node, inputs: Inputs) -> bool:
    """Whether the result is small; some operators turn a tiny input into a huge output."""
    operands = [value for value in inputs if value is not None]
    if not operands:
        return False
    if node.op == "Range":
        start, limit, delta = (float(np.ravel(value)[0]) for value in operands)
        return delta != 0 and abs((limit - start) / delta) <= KEPT_ELEMENTS
    if node.op in ("ConstantOfShape", "Expand", "Tile"):
        size = operands[0].size if node.op != "ConstantOfShape" else 1
        # A count of zero is no bound: the other counts are applied before it.
        counts = np.maximum(operands[-1].astype(np.float64), 1.0)
        return float(np.prod(counts)) * size <= KEPT_ELEMENTS
    if node.op == "Gather":
        shape, axis = operands[0].shape, node.integer("axis")
        taken = operands[0].size // max(1, shape[axis]) if -len(shape) <= axis < len(shape) else 0
        return taken * operands[-1].size <= KEPT_ELEMENTS
    if node.op in BINARY:
        try:
            return math.prod(np.broadcast_shapes(*(x.shape for x in operands))) <= KEPT_ELEMENTS
        except ValueError:
            return False
    return True


def _first(inputs: Inputs) -> Array:
    if not inputs or inputs[0] is None:
        raise ValueError
    return inputs[0]


def _second(inputs: Inputs) -> Array:
    if len(inputs) < 2 or inputs[1] is None:
        raise ValueError
    return inputs[1]


def _divide(one: Array, other: Array) -> Array:
    """Integer division truncates towards zero."""
    if one.dtype.kind not in "iu":
        return np.asarray(one / other)
    quotient = np.abs(one) // np.abs(other)
    return np.asarray(quotient * np.sign(one) * np.sign(other), dtype=one.dtype)


def _modulo(node: Node, inputs: Inputs) -> Array:
    function = np.fmod if node.integer("fmod") else np.mod
    return np.asarray(function(_first(inputs), _second(inputs)))


def _power(_: Node, inputs: Inputs) -> Array:
    return np.asarray(np.power(_first(inputs), _second(inputs)), dtype=_first(inputs).dtype)


def _axes(node: Node, inputs: Inputs, place: int = 1) -> tuple[int, ...] | None:
    """Axes from the attribute (old operator sets) or the input (new ones)."""
    if len(inputs) > place and (axes := inputs[place]) is not None:
        return tuple(int(axis) for axis in axes.ravel())
    return node.integers("axes") or None


def _concat(node: Node, inputs: Inputs) -> Array:
    return np.concatenate(
        [value for value in inputs if value is not None], axis=node.integer("axis")
    )


def _slice(node: Node, inputs: Inputs) -> Array:
    data = _first(inputs)
    if len(inputs) == 1:  # before operator set 10
        starts, ends = node.integers("starts"), node.integers("ends")
        axes, steps = node.integers("axes") or tuple(range(len(starts))), (1,) * len(starts)
    else:
        starts, ends = _axes(node, inputs, 1) or (), _axes(node, inputs, 2) or ()
        axes = _axes(node, inputs, 3) or tuple(range(len(starts)))
        steps = _axes(node, inputs, 4) or (1,) * len(starts)
    index = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        backwards_to_start = step < 0 and end < -data.shape[axis]
        index[axis] = slice(start, None if backwards_to_start else end, step)
    return data[tuple(index)]


def _reshape(node: Node, inputs: Inputs) -> Array:
    data, target = _first(inputs), [int(dim) for dim in _second(inputs)]
    if not node.integer("allowzero"):
        target = [dim or data.shape[i] for i, dim in enumerate(target)]
    return data.reshape(target)


def _cast(node: Node, inputs: Inputs) -> Array:
    return _first(inputs).astype(helper.tensor_dtype_to_np_dtype(node.integer("to")))


def _filled(node: Node, inputs: Inputs) -> Array:
    value = node.attributes.get("value")
    fill = tensor_values(value) if isinstance(value, TensorProto) else np.zeros(1, np.float32)
    return np.full([int(dim) for dim in _first(inputs)], fill.ravel()[0], fill.dtype)


def _clip(node: Node, inputs: Inputs) -> Array:
    """Bounds from the attributes (old operator sets) or the inputs (new ones)."""
    data = _first(inputs)
    for place, name, function in ((1, "min", np.maximum), (2, "max", np.minimum)):
        bound = inputs[place] if len(inputs) > place else node.attributes.get(name)
        if isinstance(bound, (float, np.ndarray)):
            data = np.asarray(function(data, bound), dtype=data.dtype)
    return data


def _range(_: Node, inputs: Inputs) -> Array:
    start, limit, delta = (np.ravel(value)[0] for value in inputs if value is not None)
    return np.arange(start, limit, delta, dtype=_first(inputs).dtype)


def _expand(_: Node, inputs: Inputs) -> Array:
    data, target = _first(inputs), tuple(int(dim) for dim in _second(inputs))
    return np.broadcast_to(data, np.broadcast_shapes(data.shape, target))


def _tile(_: Node, inputs: Inputs) -> Array:
    return np.tile(_first(inputs), [int(count) for count in _second(inputs)])


def _transpose(node: Node, inputs: Inputs) -> Array:
    return np.transpose(_first(inputs), node.integers("perm") or None)


def _split(node: Node, inputs: Inputs) -> list[Array]:
    data, axis = _first(inputs), node.integer("axis")
    parts = _axes(node, inputs) or node.integers("split")
    if not parts:
        size = -(-data.shape[axis] // len(node.output_names))
        cuts = list(range(size, data.shape[axis], size))
    else:
        cuts = list(np.cumsum(parts)[:-1])
    return list(np.split(data, cuts, axis))


def _where(_: Node, inputs: Inputs) -> Array:
    condition, one, other = inputs
    if condition is None or one is None or other is None:
        raise ValueError
    return np.where(condition, one, other)


def _reduce(function: Callable[..., Array]) -> Callable[[Node, Inputs], Array]:
    def reduced(node: Node, inputs: Inputs) -> Array:
        axes = _axes(node, inputs)
        if axes is None and node.integer("noop_with_empty_axes"):
            return _first(inputs)
        keep = bool(node.integer("keepdims", 1))
        return np.asarray(function(_first(inputs), axis=axes, keepdims=keep))

    return reduced


def _scatter(_: Node, inputs: Inputs) -> Array:
    data, indices, updates = inputs
    if data is None or indices is None or updates is None:
        raise ValueError
    result = data.copy()
    result[tuple(np.moveaxis(indices, -1, 0))] = updates
    return result


def _cumsum(node: Node, inputs: Inputs) -> Array:
    if node.integer("exclusive") or node.integer("reverse"):
        raise ValueError
    return np.cumsum(
        _first(inputs), axis=int(_second(inputs).ravel()[0]), dtype=_first(inputs).dtype
    )


def _unary(function: Callable[[Array], Array]) -> Callable[[Node, Inputs], Array]:
    return lambda _, inputs: np.asarray(function(_first(inputs)))


def _binary(function: Callable[[Array, Array], Array]) -> Callable[[Node, Inputs], Array]:
    return lambda _, inputs: np.asarray(function(_first(inputs), _second(inputs)))


def _many(function: Callable[[Array, Array], Array]) -> Callable[[Node, Inputs], Array]:
    def folded(_: Node, inputs: Inputs) -> Array:
        result = _first(inputs)
        for value in inputs[1:]:
            if value is not None:
                result = np.asarray(function(result, value))
        return result

    return folded


BINARY: Mapping[str, Callable[[Node, Inputs], Array]] = {
    **{"Add": _binary(np.add), "Sub": _binary(np.subtract), "Mul": _binary(np.multiply)},
    **{"Div": _binary(_divide), "Pow": _power, "Mod": _modulo},
    **{"Equal": _binary(np.equal), "And": _binary(np.logical_and), "Or": _binary(np.logical_or)},
    **{"Greater": _binary(np.greater), "GreaterOrEqual": _binary(np.greater_equal)},
    **{"Less": _binary(np.less), "LessOrEqual": _binary(np.less_equal)},
    **{"Xor": _binary(np.logical_xor), "Max": _many(np.maximum), "Min": _many(np.minimum)},
    "Where": _where,
}
FOLDABLE: Mapping[str, Callable[[Node, Inputs], Array | list[Array]]] = {
    **BINARY,
    **{"Abs": _unary(np.abs), "Neg": _unary(np.negative), "Not": _unary(np.logical_not)},
    **{"Floor": _unary(np.floor), "Ceil": _unary(np.ceil), "Sqrt": _unary(np.sqrt)},
    **{"Reciprocal": _unary(np.reciprocal), "Log": _unary(np.log), "Exp": _unary(np.exp)},
    **{"Round": _unary(np.round), "Identity": _unary(np.asarray), "Sign": _unary(np.sign)},
    **{"Cast": _cast, "Clip": _clip, "Concat": _concat},
    **{"ConstantOfShape": _filled, "CumSum": _cumsum},
    "Gather": lambda node, inputs: np.take(
        _first(inputs), _second(inputs), axis=node.integer("axis")
    ),
    **{"Expand": _expand, "Range": _range, "Reshape": _reshape},
    **{"NonZero": _unary(lambda data: np.asarray(np.nonzero(data), dtype=np.int64))},
    **{"ReduceMax": _reduce(np.max), "ReduceMin": _reduce(np.min), "ReduceSum": _reduce(np.sum)},
    **{"ReduceProd": _reduce(np.prod), "ScatterND": _scatter, "Slice": _slice, "Split": _split},
    "Squeeze": lambda node, inputs: np.squeeze(_first(inputs), _axes(node, inputs)),
    **{"Tile": _tile, "Transpose": _transpose},
    "Unsqueeze": lambda node, inputs: np.expand_dims(_first(inputs), _axes(node, inputs) or ()),
}
"""Operators that exporters use in shape arithmetic; cheap on small tensors."""
