"""Sequences of tensors whose length is known, as exporters of `split` and `stack` leave them."""

from collections.abc import Sequence

from onnx import NodeProto, TensorProto, TypeProto, helper

from acesniper.predictor.onnx.node import STANDARD_DOMAINS
from acesniper.predictor.onnx.scope import Scope, dims_of, tensor_type


def sequence_types(proto: NodeProto, scope: Scope) -> list[TypeProto] | None:
    """The type that an operator on sequences gives; None for others and unknown sequences.

    What a sequence holds is noted in the scope.
    """
    if proto.domain not in STANDARD_DOMAINS or "Sequence" not in proto.op_type or not proto.output:
        return None
    held = _held(proto, scope)
    if held is not None:
        scope.sequences[proto.output[0]] = held
        return [helper.make_sequence_type_proto(held[0] if held else _unknown(proto))]
    items = scope.sequences.get(proto.input[0]) if proto.input else None
    if not items:
        return None
    if proto.op_type == "SequenceAt":
        place = scope.number(proto.input[1])
        found = None if place is None or not -len(items) <= place < len(items) else int(place)
        return None if found is None else [items[found]]
    if proto.op_type == "ConcatFromSequence":
        return _concatenated(proto, items)
    return None


def _unknown(proto: NodeProto) -> TypeProto:
    """The element of an empty sequence, of which only the type may be stated."""
    stated = (a.i for a in proto.attribute if a.name == "dtype")
    return tensor_type(next(stated, TensorProto.FLOAT), None)


def _held(proto: NodeProto, scope: Scope) -> Sequence[TypeProto] | None:
    """The elements of a new sequence."""
    types = [scope.types[name] for name in proto.input if name]
    if proto.op_type == "SequenceEmpty":
        return []
    if proto.op_type == "SequenceConstruct":
        return types
    if proto.op_type == "SplitToSequence":
        return _parts(proto, scope)
    if proto.op_type not in ("SequenceInsert", "SequenceErase"):
        return None
    inserted = types[1:2] if proto.op_type == "SequenceInsert" else []
    items = scope.sequences.get(proto.input[0])
    stated = list(proto.input)[1 + len(inserted) :]
    place = scope.number(stated[0]) if stated and items is not None else None
    if items is None or (stated and place is None):
        return None
    at = len(items) if place is None else int(place) % (len(items) + 1)
    if inserted:
        return [*items[:at], *inserted, *items[at:]]
    at = min(at, len(items) - 1)
    return [*items[:at], *items[at + 1 :]]


def _parts(proto: NodeProto, scope: Scope) -> Sequence[TypeProto] | None:
    attributes = {a.name: a.i for a in proto.attribute}
    kind = scope.types[proto.input[0]]
    dims = dims_of(kind)
    if not dims:
        return None
    axis = attributes.get("axis", 0) % len(dims)
    length = dims[axis]
    split = scope.array(proto.input[1]) if len(proto.input) > 1 and proto.input[1] else None
    if length is None or (split is None and any(proto.input[1:])):
        return None
    if split is None or split.ndim == 0:
        size = 1 if split is None else max(1, int(split))
        sizes = [min(size, length - start) for start in range(0, length, size)]
    else:
        sizes = [int(each) for each in split]
    squeezed = split is None and not attributes.get("keepdims", 1)
    element = kind.tensor_type.elem_type
    middle = [() if squeezed else (size,) for size in sizes]
    return [tensor_type(element, (*dims[:axis], *each, *dims[axis + 1 :])) for each in middle]


def _concatenated(proto: NodeProto, items: Sequence[TypeProto]) -> list[TypeProto] | None:
    attributes = {a.name: a.i for a in proto.attribute}
    axis, first = attributes.get("axis", 0), dims_of(items[0])
    if first is None:
        return None
    element = items[0].tensor_type.elem_type
    if attributes.get("new_axis"):
        at = axis % (len(first) + 1)
        return [tensor_type(element, (*first[:at], len(items), *first[at:]))]
    at = axis % max(1, len(first))
    sizes = [dims[at] for dims in map(dims_of, items) if dims is not None and len(dims) > at]
    total = sum(size for size in sizes if size is not None)
    known = len(sizes) == len(items) and None not in sizes
    return [tensor_type(element, (*first[:at], total if known else None, *first[at + 1 :]))]
