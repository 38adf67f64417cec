"""Networks without their weights: a graph of some kilobytes that runs with weights drawn anew.

Latency does not depend on the values of weights, but for denormals and zeros, which drawn ones
avoid. A large float weight becomes external data at a reserved location; all else (shapes, indices,
norms, scalars) stays as it is, so that the graph means what it meant.
"""

import math
import zlib

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

LOCATION = "acesniper-drawn-weights"
"""In place of a file's name; no file is ever opened for it."""

MIN_ELEMENTS = 512
"""Smaller tensors stay: they weigh little, and some of them carry meaning (epsilons, scales)."""

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


def strip_weights(model: ModelProto) -> ModelProto:
    """The same graph with its large weights left out, in place; returns the model."""
    for tensor in model.graph.initializer:
        if (
            tensor.data_type in FLOATS
            and len(tensor.dims) > 1
            and math.prod(tensor.dims) >= MIN_ELEMENTS
        ):
            for field in ("raw_data", "float_data", "double_data", "int32_data"):
                tensor.ClearField(field)
            tensor.data_location = TensorProto.EXTERNAL
            del tensor.external_data[:]
            entry = tensor.external_data.add()
            entry.key, entry.value = "location", LOCATION
    return model


def is_stripped(tensor: TensorProto) -> bool:
    """Whether a tensor's values are to be drawn."""
    return tensor.data_location == TensorProto.EXTERNAL and any(
        each.key == "location" and each.value == LOCATION for each in tensor.external_data
    )


def draw_weights(model: ModelProto) -> ModelProto:
    """Fill in weights where they were left out, in place; the same every time.

    Normal with variance 1 / fan-in (LeCun et al., "Efficient BackProp", 1998), so that activations
    neither vanish into denormals nor overflow, however deep the network.
    """
    for tensor in model.graph.initializer:
        if is_stripped(tensor):
            source = np.random.default_rng(zlib.crc32(tensor.name.encode()))
            values = source.standard_normal(tuple(tensor.dims), dtype=np.float32)
            values *= 1.0 / math.sqrt(_fan_in(tensor))
            kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            drawn = numpy_helper.from_array(values.astype(kind), tensor.name)
            tensor.CopyFrom(drawn)
    return model


def _fan_in(tensor: TensorProto) -> int:
    """How many products a sum takes: all but the first dimension, or the rows of a matrix."""
    dims = [int(each) for each in tensor.dims]
    return max(min(dims) if len(dims) == 2 else math.prod(dims[1:]), 1)
