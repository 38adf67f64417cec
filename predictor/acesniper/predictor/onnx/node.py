"""A node with its tensors and attributes."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    NodeProto,
    TensorProto,
    helper,
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


OMITTED = Tensor((), 0.0, constant=True)
"""An optional input left out."""


def checked_tensor(name: str, dims: Iterable[int], kind: int, constant: bool) -> Tensor:
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


def tensor_values(tensor: TensorProto) -> np.ndarray:
    """The values a tensor holds itself. Raises InvalidModel (NotOnnx) for a damaged one."""
    if tensor.data_location == TensorProto.EXTERNAL:
        raise InvalidModel("NotOnnx", f"constant {tensor.name!r} lies outside of the file")
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidModel("NotOnnx", f"tensor {tensor.name!r} is damaged: {error}") from error


def has_values(tensor: TensorProto) -> bool:
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


def constant_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """The weights and constants of a graph, without those nested in it."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t


STANDARD_DOMAINS = ("", "ai.onnx")
NHWC = "com.ms.internal.nhwc"
CONTRIB_DOMAINS = ("com.microsoft", "com.microsoft.nchwc", NHWC)
"""Domains of the operators that onnxruntime's optimiser and quantiser write."""


def op_names(text: str) -> frozenset[str]:
    """Operator names parted by blanks."""
    return frozenset(text.split())


RANDOM = op_names(
    "RandomNormal RandomUniform RandomNormalLike RandomUniformLike Bernoulli Multinomial"
)


@dataclass(frozen=True, slots=True)
class Node:
    """One operator with what is known of its tensors.

    `repeats` is how often it runs per inference (loop bodies); `bounded` is False where that
    count is unknown and taken as 1. `folded`: its value follows from shapes alone. `feeds` are the
    names of its inputs, `gives` of its outputs. `open` are the dimensions, as VALUE:AXIS,
    with which its unknown ones began.
    """

    op: str
    domain: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    attributes: Mapping[str, object]
    feeds: tuple[str, ...]
    gives: tuple[str, ...]
    repeats: float = 1.0
    bounded: bool = True
    folded: bool = False
    open: tuple[str, ...] = ()

    @property
    def standard(self) -> bool:
        """Whether it is an operator of ONNX itself."""
        return self.domain in STANDARD_DOMAINS

    @property
    def nhwc(self) -> bool:
        """Whether its domain says that channels come last."""
        return self.domain == NHWC

    @property
    def name(self) -> str:
        """The operator's name, with the domain if it is not ONNX's own."""
        if self.standard:
            return self.op
        return f"{self.domain if self.domain in CONTRIB_DOMAINS else 'custom'}:{self.op}"

    def integer(self, attribute: str, default: int = 0) -> int:
        """An attribute that is a whole number."""
        found = self.attributes.get(attribute, default)
        return found if isinstance(found, int) else default

    def integers(self, attribute: str) -> tuple[int, ...]:
        """An attribute that is a list of whole numbers; empty where it is missing."""
        found = self.attributes.get(attribute)
        return tuple(found) if isinstance(found, (list, tuple)) else ()

    def text(self, attribute: str) -> str:
        """An attribute that is a string; empty where it is missing."""
        found = self.attributes.get(attribute, b"")
        return found.decode(errors="replace") if isinstance(found, bytes) else ""

    @property
    def constant(self) -> bool:
        """Whether a runtime computes it once, when it loads the graph."""
        return self.op not in RANDOM and all(each.constant for each in self.inputs)

    @property
    def shaped(self) -> bool:
        """Whether every tensor it touches has a known shape."""
        return all(each.shape is not None for each in (*self.inputs, *self.outputs))


def node_of(proto: NodeProto, tensor: Callable[[str], Tensor]) -> Node:
    """A node whose inputs are known and whose outputs are not."""
    return Node(
        op=proto.op_type,
        domain=proto.domain,
        inputs=tuple(tensor(name) for name in proto.input),
        outputs=(),
        attributes={a.name: _attribute(a) for a in proto.attribute},
        feeds=tuple(proto.input),
        gives=tuple(proto.output),
    )


def _attribute(attribute: AttributeProto) -> object:
    """Numbers, names and tensors; graphs are left out."""
    if attribute.type == AttributeProto.INTS:
        return tuple(attribute.ints)
    if attribute.type == AttributeProto.TENSOR:
        return attribute.t
    plain = (AttributeProto.INT, AttributeProto.FLOAT, AttributeProto.STRING)
    return helper.get_attribute_value(attribute) if attribute.type in plain else None


# TODO merge docstring of acesniper.predictor.onnx.node:
# What is known of the tensors of a graph: shape, size, and whether they are constant.
