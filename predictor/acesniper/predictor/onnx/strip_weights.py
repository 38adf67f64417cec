"""Removal of weights from models, and random weights in their place.

A stripped graph has some kilobytes and runs with random weights. Latency does not depend on the
values of weights, except for denormals and zeros, which random weights avoid. A large float weight
becomes external data at a reserved location; everything else (shapes, indices, norms, scalars) is
kept, so that the graph keeps its meaning.
"""

import math
import zlib

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

LOCATION = "acesniper-drawn-weights"
"""Location of stripped weights, in place of a file name; no such file is ever opened."""

MIN_ELEMENTS = 512
"""Smaller tensors are kept: they are light, and some have a meaning (epsilons, scales)."""

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


def strip_weights(model: ModelProto) -> ModelProto:
    """Remove the large weights in place; returns the model."""
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
    """Whether a tensor's values were stripped."""
    return tensor.data_location == TensorProto.EXTERNAL and any(
        entry.key == "location" and entry.value == LOCATION for entry in tensor.external_data
    )


def draw_weights(model: ModelProto) -> ModelProto:
    """Fill stripped weights with random values in place, the same every time.

    Normal with variance 1 / fan-in (LeCun et al., "Efficient BackProp", 1998), so that activations
    neither become denormal nor overflow, whatever the depth of the network.
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
    """Terms per output: all but the first dimension, or the smaller dimension of a matrix."""
    dims = [int(dim) for dim in tensor.dims]
    return max(min(dims) if len(dims) == 2 else math.prod(dims[1:]), 1)
