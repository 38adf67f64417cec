"""Nodes and tensors of a graph as the reader sees them, and access to ONNX's own structures."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import Message  # type: ignore[import-untyped]
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
"""Limit on the elements of a tensor; more than a tebi is a mistake or an attack."""

MAX_TEXT_BYTES = 4096
"""Text of an attribute that is analysed, such as an Einsum's equation."""
MAX_RANK = 64
"""Limit of dimensions, that of numpy."""

KEPT_ELEMENTS = 4096
"""Constants up to this size keep their values, since shapes may depend on them."""


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
    """Shape of a tensor (None if unknown), bytes per element, and whether it is constant."""

    shape: tuple[int, ...] | None
    item_bytes: float
    constant: bool = False

    @property
    def elements(self) -> int:
        """Number of elements; 0 for an unknown shape."""
        return math.prod(self.shape) if self.shape is not None else 0

    @property
    def bytes(self) -> float:
        """Size in memory; 0 for an unknown shape."""
        return self.elements * self.item_bytes


OMITTED = Tensor((), 0.0, constant=True)
"""Stands for an optional input that is omitted."""


def checked_tensor(name: str, dims: Iterable[int], kind: int, constant: bool) -> Tensor:
    """Tensor of known shape. Raises InvalidModel if the shape is absurd."""
    shape = tuple(int(dim) for dim in dims)
    if len(shape) > MAX_RANK:
        raise InvalidModel("TooLarge", f"tensor {name!r} has {len(shape)} dimensions")
    if any(dim < 0 for dim in shape):
        raise InvalidModel("NotOnnx", f"tensor {name!r} has a negative dimension: {shape}")
    if math.prod(shape) > MAX_ELEMENTS:
        raise InvalidModel("TooLarge", f"tensor {name!r} of shape {shape} has too many elements")
    return Tensor(shape, item_bytes(kind), constant)


def item_bytes(kind: int) -> float:
    """Bytes per element of an ONNX element type; strings and unknown types count 4."""
    return ITEM_BYTES.get(kind, 4.0)


def tensor_values(tensor: TensorProto) -> np.ndarray:
    """Values stored in the tensor itself. Raises InvalidModel (NotOnnx) for a malformed one."""
    if tensor.data_location == TensorProto.EXTERNAL:
        raise InvalidModel("NotOnnx", f"constant {tensor.name!r} is stored outside the file")
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidModel("NotOnnx", f"tensor {tensor.name!r} is malformed: {error}") from error


def has_values(tensor: TensorProto) -> bool:
    """Whether a tensor's values are stored in the file itself."""
    fields = (tensor.raw_data, tensor.int64_data, tensor.int32_data, tensor.float_data)
    return tensor.data_location != TensorProto.EXTERNAL and any(
        len(field) for field in (*fields, tensor.double_data, tensor.uint64_data)
    )


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Subgraphs of a node: branches and bodies."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def has_subgraph(node: NodeProto) -> bool:
    """Whether a node has a subgraph."""
    return next(subgraphs(node), None) is not None


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and every graph nested in it."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def check_texts(message: Message) -> None:
    """Raise InvalidModel (NotOnnx) for a text that is not UTF-8, which protobuf gives as bytes."""
    # Not all fields of a tensor: a list of its fields would copy its data.
    if isinstance(message, TensorProto):
        _check_text(message.DESCRIPTOR.name, [message.name])
        for entry in message.external_data:
            _check_text("external_data", [entry.key, entry.value])
        return
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.type == field.TYPE_STRING:
            _check_text(field.full_name, values)
        elif field.type == field.TYPE_MESSAGE:
            for inner in values:
                check_texts(inner)


def _check_text(where: str, texts: Iterable[object]) -> None:
    if not all(isinstance(text, str) for text in texts):
        raise InvalidModel("NotOnnx", f"a text in {where} is not valid UTF-8")


def constant_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Weights and constants of a graph, without those of its subgraphs."""
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
"""Domains of onnxruntime's contrib operators, written by its optimiser and quantiser."""


def op_names(text: str) -> frozenset[str]:
    """Operator names in a whitespace-separated text."""
    return frozenset(text.split())


BY_REFERENCE = op_names(
    "Acos Acosh ArgMax ArgMin Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr "
    "BitwiseXor CastLike Compress Cos Cosh CumProd DepthToSpace Elu Erf EyeLike Flatten "
    "GatherElements GatherND Gelu Gemm HardSigmoid HardSwish IsInf IsNaN LeakyRelu MatMul Mean "
    "Mish OneHot PRelu Pad ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMean "
    "ReduceSumSquare Relu ReverseSequence ScatterElements Selu Shrink Sigmoid Sin Sinh Softmax "
    "Softplus Softsign SpaceToDepth Sum Tan Tanh ThresholdedRelu TopK Trilu Unique"
)
"""Rarer operators of shape arithmetic: their cost is bounded by the sizes of inputs and outputs.
That of others is not: the window of a pool, the terms of an Einsum, a regular expression."""

RANDOM = op_names(
    "RandomNormal RandomUniform RandomNormalLike RandomUniformLike Bernoulli Multinomial"
)


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph with the tensors that it reads and writes.

    `repeats` is the number of runs per inference (loop bodies); `bounded` is False if that number
    is unknown and taken as 1. `folded` says that the value depends on shapes alone. `unknown_dims`
    are the data-dependent dimensions, as VALUE:AXIS, that make the node's own dimensions unknown.
    """

    op: str
    domain: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    attributes: Mapping[str, object]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    repeats: float = 1.0
    bounded: bool = True
    folded: bool = False
    unknown_dims: tuple[str, ...] = ()

    @property
    def standard(self) -> bool:
        """Whether the operator is one of ONNX itself."""
        return self.domain in STANDARD_DOMAINS

    @property
    def nhwc(self) -> bool:
        """Whether the domain implies channels-last layout."""
        return self.domain == NHWC

    @property
    def name(self) -> str:
        """Operator name, with the domain unless it is ONNX's own."""
        if self.standard:
            return self.op
        return f"{self.domain if self.domain in CONTRIB_DOMAINS else 'custom'}:{self.op}"

    def integer(self, attribute: str, default: int = 0) -> int:
        """Integer attribute."""
        value = self.attributes.get(attribute, default)
        return value if isinstance(value, int) else default

    def integers(self, attribute: str) -> tuple[int, ...]:
        """Attribute that is a list of integers; empty if it is missing."""
        value = self.attributes.get(attribute)
        return tuple(value) if isinstance(value, (list, tuple)) else ()

    def text(self, attribute: str) -> str:
        """String attribute; empty if it is missing."""
        value = self.attributes.get(attribute, b"")
        return value.decode(errors="replace") if isinstance(value, bytes) else ""

    @property
    def constant(self) -> bool:
        """Whether a runtime can compute it once, when it loads the graph."""
        return self.op not in RANDOM and all(tensor.constant for tensor in self.inputs)

    @property
    def shaped(self) -> bool:
        """Whether all inputs and outputs have known shapes."""
        return all(tensor.shape is not None for tensor in (*self.inputs, *self.outputs))


def node_of(proto: NodeProto, tensor: Callable[[str], Tensor]) -> Node:
    """Node with known inputs; its outputs are added later."""
    return Node(
        op=proto.op_type,
        domain=proto.domain,
        inputs=tuple(tensor(name) for name in proto.input),
        outputs=(),
        attributes={a.name: _attribute(a) for a in proto.attribute},
        input_names=tuple(proto.input),
        output_names=tuple(proto.output),
    )


def _attribute(attribute: AttributeProto) -> object:
    """Value of an attribute: number, string, integers or tensor; None for others."""
    if attribute.type == AttributeProto.INTS:
        return tuple(attribute.ints)
    if attribute.type == AttributeProto.TENSOR:
        return attribute.t
    plain = (AttributeProto.INT, AttributeProto.FLOAT, AttributeProto.STRING)
    return helper.get_attribute_value(attribute) if attribute.type in plain else None
