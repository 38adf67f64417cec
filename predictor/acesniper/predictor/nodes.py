"""Walk a graph and see each node with its tensors, its class and its cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper

from acesniper.predictor.tensors import NOTHING, Tensor, checked, from_value, subgraphs, values

STANDARD = ("", "ai.onnx")
NHWC = "com.ms.internal.nhwc"
CONTRIBUTED = ("com.microsoft", "com.microsoft.nchwc", NHWC)
"""Domains of the operators that onnxruntime's optimiser and quantiser write."""


def names(text: str) -> frozenset[str]:
    """Operator names parted by blanks."""
    return frozenset(text.split())


RANDOM = names(
    "RandomNormal RandomUniform RandomNormalLike RandomUniformLike Bernoulli Multinomial"
)


@dataclass(frozen=True, slots=True)
class Node:
    """One operator with what is known of its tensors.

    `repeats` is how often it runs per inference (loop bodies); `bounded` is False where that
    count is unknown and taken as 1. `feeds` are the names of its inputs, `gives` of its outputs.
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

    @property
    def standard(self) -> bool:
        """Whether it is an operator of ONNX itself."""
        return self.domain in STANDARD

    @property
    def nhwc(self) -> bool:
        """Whether its domain says that channels come last."""
        return self.domain == NHWC

    @property
    def name(self) -> str:
        """The operator's name, with the domain if it is not ONNX's own."""
        if self.standard:
            return self.op
        return f"{self.domain if self.domain in CONTRIBUTED else 'custom'}:{self.op}"

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


def walk(graph: GraphProto) -> Iterator[Node]:
    """Every node that runs, in order; the nodes of subgraphs follow the node that holds them."""
    yield from _walk(graph, {}, 1.0, True)


def _walk(
    graph: GraphProto, outer: Mapping[str, Tensor], repeats: float, bounded: bool
) -> Iterator[Node]:
    known = {**outer, **_declared(graph)}
    trips = _trip_counts(graph)
    for proto in graph.node:
        node = replace(_node(proto, known), repeats=repeats, bounded=bounded)
        for name, tensor in zip(node.gives, node.outputs, strict=True):
            known[name] = replace(tensor, constant=node.constant and not _has_subgraph(proto))
        yield node
        count = _inner_repeats(proto, trips, known)
        for inner in subgraphs(proto):
            yield from _walk(inner, known, repeats * (count or 1.0), bounded and count is not None)


def _declared(graph: GraphProto) -> dict[str, Tensor]:
    known = {v.name: from_value(v) for v in (*graph.input, *graph.value_info, *graph.output)}
    for weight in graph.initializer:
        known[weight.name] = checked(weight.name, weight.dims, weight.data_type, constant=True)
    return known


def _node(proto: NodeProto, known: Mapping[str, Tensor]) -> Node:
    unknown = Tensor(None, 4.0)
    return Node(
        op=proto.op_type,
        domain=proto.domain,
        inputs=tuple(known.get(name, unknown) if name else NOTHING for name in proto.input),
        outputs=tuple(known.get(name, unknown) for name in proto.output),
        attributes={a.name: _attribute(a) for a in proto.attribute},
        feeds=tuple(proto.input),
        gives=tuple(proto.output),
    )


def _attribute(attribute: AttributeProto) -> object:
    """Numbers and names; tensors and graphs are left out."""
    if attribute.type == AttributeProto.INTS:
        return tuple(attribute.ints)
    plain = (AttributeProto.INT, AttributeProto.FLOAT, AttributeProto.STRING)
    return helper.get_attribute_value(attribute) if attribute.type in plain else None


def _has_subgraph(proto: NodeProto) -> bool:
    return next(subgraphs(proto), None) is not None


def _trip_counts(graph: GraphProto) -> dict[str, float]:
    """Scalars that may bound a loop."""
    return {
        tensor.name: float(values(tensor).ravel()[0])
        for tensor in graph.initializer
        if len(tensor.dims) <= 1
        and tensor.data_type == TensorProto.INT64
        and (tensor.raw_data or tensor.int64_data)
    }


def _inner_repeats(
    proto: NodeProto, trips: Mapping[str, float], known: Mapping[str, Tensor]
) -> float | None:
    """How often the graphs inside a node run; None where it depends on the data."""
    if proto.op_type == "If":
        return 0.5  # one of two branches
    if proto.op_type == "Loop":
        return trips.get(proto.input[0]) if proto.input else None
    if proto.op_type == "Scan" and proto.input:
        shape = known.get(proto.input[-1], NOTHING).shape
        return float(shape[0]) if shape else None
    return 1.0
