"""What is known of the tensors of a graph: shape, size, and whether they are constant."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    NodeProto,
    TensorProto,
    numpy_helper,
)

from acesniper.domain.errors import InvalidModel

MAX_ELEMENTS = 1 << 40
"""A tensor beyond this is a mistake or an attack: a tebi of elements fits no device."""

KEPT_ELEMENTS = 4096
"""Constants up to this size keep their values, because shapes may depend on them."""


ITEM_BYTES = {
    **dict.fromkeys((TensorProto.INT2, TensorProto.UINT2), 0.25),
    **dict.fromkeys((TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1), 0.5),
    **dict.fromkeys((TensorProto.INT8, TensorProto.UINT8, TensorProto.BOOL), 1.0),
    **dict.fromkeys((TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2), 1.0),
    **dict.fromkeys((TensorProto.FLOAT8E4M3FNUZ, TensorProto.FLOAT8E5M2FNUZ), 1.0),
    TensorProto.FLOAT8E8M0: 1.0,
    **dict.fromkeys((TensorProto.FLOAT16, TensorProto.BFLOAT16), 2.0),
    **dict.fromkeys((TensorProto.INT16, TensorProto.UINT16), 2.0),
    **dict.fromkeys((TensorProto.INT64, TensorProto.UINT64, TensorProto.DOUBLE), 8.0),
    TensorProto.COMPLEX64: 8.0,
    TensorProto.COMPLEX128: 16.0,
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's shape (None: unknown), bytes per element, and whether it never changes."""

    shape: tuple[int, ...] | None
    item_bytes: float
    constant: bool = False

    @property
    def elements(self) -> int:
        """How many elements; 0 for an unknown shape."""
        return math.prod(self.shape) if self.shape is not None else 0

    @property
    def bytes(self) -> float:
        """The size in memory; 0 for an unknown shape."""
        return self.elements * self.item_bytes


NOTHING = Tensor((), 0.0, constant=True)
"""An optional input left out."""


def checked(name: str, dims: Iterable[int], kind: int, constant: bool) -> Tensor:
    """A tensor of known shape. Raises InvalidModel where the shape is absurd."""
    shape = tuple(int(dim) for dim in dims)
    if any(dim < 0 for dim in shape):
        raise InvalidModel("NotOnnx", f"tensor {name!r} has a negative dimension: {shape}")
    if math.prod(shape) > MAX_ELEMENTS:
        raise InvalidModel("TooLarge", f"tensor {name!r} of shape {shape} fits no device")
    return Tensor(shape, item_bytes(kind), constant)


def item_bytes(kind: int) -> float:
    """Bytes per element of an ONNX element type; strings and unknown types count 4."""
    return ITEM_BYTES.get(kind, 4.0)


def values(tensor: TensorProto) -> np.ndarray:
    """The values a tensor holds itself. Raises InvalidModel (NotOnnx) for a damaged one."""
    if tensor.data_location == TensorProto.EXTERNAL:
        raise InvalidModel("NotOnnx", f"constant {tensor.name!r} lies outside of the file")
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidModel("NotOnnx", f"tensor {tensor.name!r} is damaged: {error}") from error


def holds_values(tensor: TensorProto) -> bool:
    """Whether a tensor's values are in the file itself."""
    fields = (tensor.raw_data, tensor.int64_data, tensor.int32_data, tensor.float_data)
    return tensor.data_location != TensorProto.EXTERNAL and any(
        len(field) for field in (*fields, tensor.double_data, tensor.uint64_data)
    )


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs inside a node: branches and bodies."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def has_subgraph(node: NodeProto) -> bool:
    """Whether a node holds a graph."""
    return next(subgraphs(node), None) is not None


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and every graph nested in it."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def held_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """The weights and constants of a graph, without those nested in it."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
