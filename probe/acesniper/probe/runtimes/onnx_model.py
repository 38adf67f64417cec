"""ONNX models in the form that all runtimes accept: weights as initializers, inputs with shapes."""

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, helper, numpy_helper

from acesniper.domain.errors import InvalidModel
from acesniper.probe.runtimes import Input


def inputs_of(model: ModelProto) -> tuple[Input, ...]:
    """Inputs of a bound model that a caller feeds, in order."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return tuple(
        Input(
            value.name,
            tuple(int(dim.dim_value) for dim in value.type.tensor_type.shape.dim),
            np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)),
        )
        for value in model.graph.input
        if value.name not in weights
    )


def with_initializers(model: bytes) -> ModelProto:
    """The model with each Constant and constant ConstantOfShape node replaced by an initializer.

    For runtimes that cannot fold these nodes. Raises InvalidModel (Unloadable) for other files.
    """
    try:
        parsed = onnx.load_from_string(model)
    except DecodeError as error:
        raise InvalidModel("Unloadable", f"not an ONNX model: {error}") from error
    initializers = {tensor.name: tensor for tensor in parsed.graph.initializer}
    kept = []
    for node in parsed.graph.node:
        tensor = _constant_of(node, initializers)
        if tensor is None:
            kept.append(node)
            continue
        initializers[tensor.name] = tensor
        parsed.graph.initializer.append(tensor)
    del parsed.graph.node[:]
    parsed.graph.node.extend(kept)
    return parsed


def _constant_of(
    node: onnx.NodeProto, initializers: dict[str, onnx.TensorProto]
) -> onnx.TensorProto | None:
    """The constant output of a node; None if its output is not constant."""
    attributes = {
        attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute
    }
    if node.op_type == "Constant" and "value" in attributes:
        tensor = onnx.TensorProto()
        tensor.CopyFrom(attributes["value"])
        tensor.name = node.output[0]
        return tensor
    if node.op_type == "ConstantOfShape" and node.input[0] in initializers:
        shape = numpy_helper.to_array(initializers[node.input[0]])
        fill = attributes.get("value")
        value = numpy_helper.to_array(fill).ravel()[0] if fill is not None else np.float32(0)
        return numpy_helper.from_array(np.full(tuple(shape), value), node.output[0])
    return None
