"""The types of a node's outputs, from those of its inputs.

ONNX's own inference is asked node by node, so that no failure passes in silence: what contradicts
itself is refused, and what stays unknown is visible.
"""

from collections.abc import Mapping, Sequence

import onnx
from onnx import NodeProto, TensorProto, TypeProto, helper

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.onnx.infer_contrib import LIKE_FIRST, SAME, contributed_types
from acesniper.predictor.onnx.matrix_products import CONVOLUTIONS, operand, weight
from acesniper.predictor.onnx.node import CONTRIB_DOMAINS, STANDARD_DOMAINS, Node
from acesniper.predictor.onnx.scope import Scope, dims_of, tensor_type

Opsets = Mapping[str, int]

LATE = {"GreaterOrEqual": 16, "LessOrEqual": 16, "Compress": 11}
"""Operators whose inference came only with a later operator set, meaning the same."""

UNFIT = (
    *(RuntimeError, ValueError, TypeError, IndexError),
    *(onnx.shape_inference.InferenceError, onnx.defs.SchemaError, onnx.checker.ValidationError),
)
"""What inference raises for a node that contradicts itself."""


def infer_types(proto: NodeProto, node: Node, scope: Scope, opsets: Opsets) -> list[TypeProto]:
    """One type per output; an empty one where nothing is known. Raises InvalidModel."""
    given = [scope.types[name] if name else None for name in proto.input]
    try:
        _check_channels(node)
        found = _schema_types(proto, scope, opsets)
        if found is None and (node.domain in CONTRIB_DOMAINS or node.op in LIKE_FIRST):
            found = contributed_types(proto, node, given)
    except InvalidModel:
        raise
    except UNFIT as error:
        raise InvalidModel(
            "ShapeInferenceFailed", f"{node.op} giving {', '.join(node.gives)}: {_first(error)}"
        ) from error
    known = dict(enumerate(found or ()))
    return [known.get(i, TypeProto()) for i in range(len(proto.output))]


def _schema_types(proto: NodeProto, scope: Scope, opsets: Opsets) -> list[TypeProto] | None:
    """What ONNX says; None where it has no schema or cannot tell."""
    domain = "" if proto.domain in STANDARD_DOMAINS else proto.domain
    if domain in CONTRIB_DOMAINS and proto.op_type in SAME:
        proto, domain = _standard(proto), ""
    version = opsets.get(domain, opsets.get("", 0) if domain == "" else 1)
    if proto.op_type in LATE and domain == "":
        version = max(version, LATE[proto.op_type])
    if not onnx.defs.has(proto.op_type, version, domain):
        return None
    schema = onnx.defs.get_schema(proto.op_type, version, domain)
    named = [name for name in proto.input if name]
    types = {name: scope.types[name] for name in named}
    if not schema.has_type_and_shape_inference_function or not all(
        kind.WhichOneof("value") for kind in types.values()
    ):
        return None
    found = onnx.shape_inference.infer_node_outputs(
        *(schema, proto, types),
        input_data={name: scope.protos[name] for name in named if name in scope.protos},
        opset_imports=[helper.make_opsetid(name, each) for name, each in opsets.items()],
    )
    return [found.get(name, TypeProto()) for name in proto.output]


def _standard(proto: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(proto)
    copy.domain = ""
    return copy


def _check_channels(node: Node) -> None:
    """Refuse a kernel that does not fit its image, which ONNX's inference lets pass."""
    if node.op not in CONVOLUTIONS or node.op.startswith("Nhwc") or node.integer("channels_last"):
        return
    image, kernel = operand(node, 0).shape or (), weight(node).shape or ()
    if node.nhwc or len(image) < 3 or len(kernel) != len(image) or node.op.startswith("Causal"):
        return
    groups = max(1, node.integer("group", 1))
    if image[1] != kernel[1] * groups or kernel[0] % groups:
        raise ValueError(
            f"a kernel of {kernel} in {groups} groups does not fit {image[1]} channels"
        )


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


# TODO merge docstring of acesniper.predictor.onnx.infer:
# Sequences of tensors whose length is known, as exporters of `split` and `stack` leave them.


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
