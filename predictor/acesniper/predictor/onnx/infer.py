"""Inference of the types of a node's outputs from those of its inputs.

Uses ONNX's own inference node by node, so that no failure is ignored: a contradiction raises
InvalidModel, and what cannot be inferred remains visibly unknown. Sequences of known length, as
exporters write them for `split` and `stack`, are tracked element by element.
"""

from collections.abc import Mapping, Sequence

import onnx
from onnx import NodeProto, TensorProto, TypeProto, helper

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.onnx.infer_contrib import LIKE_FIRST, SAME, contrib_types
from acesniper.predictor.onnx.matrix_products import CONVOLUTIONS, operand, weight
from acesniper.predictor.onnx.node import CONTRIB_DOMAINS, KEPT_ELEMENTS, STANDARD_DOMAINS, Node
from acesniper.predictor.onnx.scope import Scope, dims_of, tensor_type

Opsets = Mapping[str, int]

INFERENCE_ADDED = {"GreaterOrEqual": 16, "LessOrEqual": 16, "Compress": 11}
"""Operators whose inference was added in a later operator set, with the same meaning."""

INFERENCE_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    onnx.shape_inference.InferenceError,
    onnx.defs.SchemaError,
    onnx.checker.ValidationError,
)
"""Errors that ONNX's inference raises for a contradictory node."""


def infer_types(proto: NodeProto, node: Node, scope: Scope, opsets: Opsets) -> list[TypeProto]:
    """One type per output, empty if it is unknown. Raises InvalidModel (ShapeInferenceFailed)."""
    input_types = [scope.types[name] if name else None for name in proto.input]
    try:
        _check_channels(node)
        types = _schema_types(proto, scope, opsets)
        if types is None and (node.domain in CONTRIB_DOMAINS or node.op in LIKE_FIRST):
            types = contrib_types(proto, node, input_types)
    except InvalidModel:
        raise
    except INFERENCE_ERRORS as error:
        raise InvalidModel(
            "ShapeInferenceFailed",
            f"{node.op} node with output {', '.join(node.output_names)}: {_first_line(error)}",
        ) from error
    by_place = dict(enumerate(types or ()))
    return [by_place.get(i, TypeProto()) for i in range(len(proto.output))]


def _schema_types(proto: NodeProto, scope: Scope, opsets: Opsets) -> list[TypeProto] | None:
    """Types inferred by ONNX; None if it has no schema or no inference for the operator."""
    domain = "" if proto.domain in STANDARD_DOMAINS else proto.domain
    if domain in CONTRIB_DOMAINS and proto.op_type in SAME:
        proto, domain = _in_standard_domain(proto), ""
    version = opsets.get(domain, opsets.get("", 0) if domain == "" else 1)
    if proto.op_type in INFERENCE_ADDED and domain == "":
        version = max(version, INFERENCE_ADDED[proto.op_type])
    if not onnx.defs.has(proto.op_type, version, domain):
        return None
    schema = onnx.defs.get_schema(proto.op_type, version, domain)
    named = [name for name in proto.input if name]
    types = {name: scope.types[name] for name in named}
    if not schema.has_type_and_shape_inference_function or not all(
        kind.WhichOneof("value") for kind in types.values()
    ):
        return None
    inferred = onnx.shape_inference.infer_node_outputs(
        schema,
        proto,
        types,
        input_data={name: scope.protos[name] for name in named if name in scope.protos},
        opset_imports=[helper.make_opsetid(name, number) for name, number in opsets.items()],
    )
    return [inferred.get(name, TypeProto()) for name in proto.output]


def _in_standard_domain(proto: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(proto)
    copy.domain = ""
    return copy


def _check_channels(node: Node) -> None:
    """Raise ValueError if a kernel does not match its image; ONNX's inference accepts that."""
    if node.op not in CONVOLUTIONS or node.op.startswith("Nhwc") or node.integer("channels_last"):
        return
    image, kernel = operand(node, 0).shape or (), weight(node).shape or ()
    if node.nhwc or len(image) < 3 or len(kernel) != len(image) or node.op.startswith("Causal"):
        return
    groups = max(1, node.integer("group", 1))
    if image[1] != kernel[1] * groups or kernel[0] % groups:
        raise ValueError(
            f"kernel {kernel} with {groups} groups does not match {image[1]} input channels"
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def sequence_types(proto: NodeProto, scope: Scope) -> list[TypeProto] | None:
    """Output type of an operator on sequences; None for other operators and unknown sequences.

    Records the elements of a sequence in the scope.
    """
    if proto.domain not in STANDARD_DOMAINS or "Sequence" not in proto.op_type or not proto.output:
        return None
    elements = _new_sequence(proto, scope)
    if elements is not None:
        scope.sequences[proto.output[0]] = elements
        return [helper.make_sequence_type_proto(elements[0] if elements else _empty_type(proto))]
    items = scope.sequences.get(proto.input[0]) if proto.input else None
    if not items:
        return None
    if proto.op_type == "SequenceAt":
        place = scope.number(proto.input[1])
        is_inside = place is not None and -len(items) <= place < len(items)
        return [items[int(place)]] if place is not None and is_inside else None
    if proto.op_type == "ConcatFromSequence":
        return _concatenated(proto, items)
    return None


def _empty_type(proto: NodeProto) -> TypeProto:
    """Element type of an empty sequence: the declared element type, without a shape."""
    declared = (a.i for a in proto.attribute if a.name == "dtype")
    return tensor_type(next(declared, TensorProto.FLOAT), None)


def _new_sequence(proto: NodeProto, scope: Scope) -> Sequence[TypeProto] | None:
    """Element types of the sequence that a node creates; None if it creates none."""
    types = [scope.types[name] for name in proto.input if name]
    if proto.op_type == "SequenceEmpty":
        return []
    if proto.op_type == "SequenceConstruct":
        return types
    if proto.op_type == "SplitToSequence":
        return _split_parts(proto, scope)
    if proto.op_type not in ("SequenceInsert", "SequenceErase"):
        return None
    inserted = types[1:2] if proto.op_type == "SequenceInsert" else []
    items = scope.sequences.get(proto.input[0])
    position = list(proto.input)[1 + len(inserted) :]
    place = scope.number(position[0]) if position and items is not None else None
    if items is None or (position and place is None):
        return None
    at = len(items) if place is None else int(place) % (len(items) + 1)
    if inserted:
        return [*items[:at], *inserted, *items[at:]]
    at = min(at, len(items) - 1)
    return [*items[:at], *items[at + 1 :]]


def _split_parts(proto: NodeProto, scope: Scope) -> Sequence[TypeProto] | None:
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
        if length > size * KEPT_ELEMENTS:
            return None
        sizes = [min(size, length - start) for start in range(0, length, size)]
    else:
        sizes = [int(size) for size in split]
    squeezed = split is None and not attributes.get("keepdims", 1)
    element = kind.tensor_type.elem_type
    middles = [() if squeezed else (size,) for size in sizes]
    return [tensor_type(element, (*dims[:axis], *middle, *dims[axis + 1 :])) for middle in middles]


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
    is_known = len(sizes) == len(items) and None not in sizes
    return [tensor_type(element, (*first[:at], total if is_known else None, *first[at + 1 :]))]
