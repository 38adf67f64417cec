"""Weights as plain initializers, for runtimes that cannot fold the nodes that make them."""

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, helper, numpy_helper

from acesniper.domain.errors import InvalidModel


def with_initializers(model: bytes) -> ModelProto:
    """The model with every filled constant (ConstantOfShape, Constant) as an initializer.

    Raises InvalidModel (Unloadable) for what is no model.
    """
    try:
        parsed = onnx.load_from_string(model)
    except DecodeError as error:
        raise InvalidModel("Unloadable", f"it is no ONNX model: {error}") from error
    known = {each.name: each for each in parsed.graph.initializer}
    kept = []
    for node in parsed.graph.node:
        made = _made(node, known)
        if made is None:
            kept.append(node)
            continue
        known[made.name] = made
        parsed.graph.initializer.append(made)
    del parsed.graph.node[:]
    parsed.graph.node.extend(kept)
    return parsed


def _made(node: onnx.NodeProto, known: dict[str, onnx.TensorProto]) -> onnx.TensorProto | None:
    """The tensor a node always gives, or None."""
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == "Constant" and "value" in attributes:
        made = onnx.TensorProto()
        made.CopyFrom(attributes["value"])
        made.name = node.output[0]
        return made
    if node.op_type == "ConstantOfShape" and node.input[0] in known:
        shape = numpy_helper.to_array(known[node.input[0]])
        fill = attributes.get("value")
        value = numpy_helper.to_array(fill).ravel()[0] if fill is not None else np.float32(0)
        return numpy_helper.from_array(np.full(tuple(shape), value), node.output[0])
    return None
