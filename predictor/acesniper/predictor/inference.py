"""The types of a node's outputs, from those of its inputs.

ONNX's own inference is asked node by node, so that no failure passes in silence: what contradicts
itself is refused, and what stays unknown is visible.
"""

from collections.abc import Mapping

import onnx
from onnx import NodeProto, TypeProto, helper

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.onnx.infer_contrib import LIKE_FIRST, SAME, contributed_types
from acesniper.predictor.onnx.matrix_products import CONVOLUTIONS, operand, weight
from acesniper.predictor.onnx.node import CONTRIB_DOMAINS, STANDARD_DOMAINS, Node
from acesniper.predictor.onnx.scope import Scope

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
