"""The inputs of a bound ONNX model, as every runtime is fed."""

import numpy as np
from onnx import ModelProto, helper

from acesniper.probe.runtimes import Input


def inputs_of(model: ModelProto) -> tuple[Input, ...]:
    """The inputs that a caller feeds, in order."""
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
