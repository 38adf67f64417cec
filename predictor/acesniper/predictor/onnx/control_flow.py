"""Control flow: which subgraphs of a node run, how often, and the types of their results."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnx import GraphProto, NodeProto, TensorProto, TypeProto, helper

from acesniper.predictor.onnx.node import KEPT_ELEMENTS, Node
from acesniper.predictor.onnx.scope import Scope, dims_of, merged_type, tensor_type

MAX_TRIPS = 1 << 31
"""A larger trip count means "until the condition is false"."""


@dataclass(frozen=True, slots=True)
class SubgraphRun:
    """A subgraph that runs inside a node, its input types, and how often (None if unknown).

    `empty` are the positions of inputs that are initially empty sequences.
    """

    graph: GraphProto
    inputs: Sequence[TypeProto]
    repeats: float | None
    empty: frozenset[int] = frozenset()


def subgraph_runs(proto: NodeProto, node: Node, scope: Scope) -> list[SubgraphRun]:
    """Subgraphs of a node that may run; empty unless it is ONNX control flow."""
    if not node.standard:
        return []
    inner = {a.name: a.g for a in proto.attribute if a.HasField("g")}
    input_types = [scope.types[name] if name else TypeProto() for name in proto.input]
    if node.op == "If":
        return _branches(inner, scope.number(proto.input[0]) if proto.input else None)
    body = inner.get("body", GraphProto())
    if node.op == "Loop":
        counter, condition = tensor_type(TensorProto.INT64, ()), tensor_type(TensorProto.BOOL, ())
        sequences = enumerate(scope.sequences.get(name) for name in proto.input)
        empty = frozenset(place for place, items in sequences if items is not None and not items)
        return [
            SubgraphRun(body, [counter, condition, *input_types[2:]], _trips(proto, scope), empty)
        ]
    if node.op == "Scan":
        return [_scan(body, node, input_types)]
    if node.op == "SequenceMap":
        elements = [scope.sequences.get(name, ()) for name in proto.input]
        types = [e[0] if e else TypeProto() for e in elements]
        return [
            SubgraphRun(body, types, float(len(elements[0])) if elements and elements[0] else None)
        ]
    return []


def output_types(
    node: Node, runs: Sequence[SubgraphRun], results: Sequence[Sequence[TypeProto]]
) -> list[TypeProto] | None:
    """Output types of a node from the results of its subgraphs; None if these are unknown."""
    if not runs or not all(results):
        return None
    if node.op == "If":
        branches = list(results)
        if len(branches) == 1:
            return list(branches[0])
        return [merged_type(one, other) for one, other in zip(*branches, strict=False)]
    result_types = list(results[0])
    if node.op == "Loop":
        carried = len(node.input_names) - 2
        before = runs[0].inputs[2:]
        kept = [
            merged_type(a, b) for a, b in zip(before, result_types[1 : 1 + carried], strict=False)
        ]
        return [*kept, *(_stacked(kind, runs[0].repeats) for kind in result_types[1 + carried :])]
    if node.op == "Scan":
        carried = len(node.input_names) - node.integer("num_scan_inputs", 1)
        axes = node.integers("scan_output_axes") or (0,) * len(result_types)
        stacked = zip(result_types[carried:], axes, strict=False)
        length = runs[0].repeats
        return [*result_types[:carried], *(_stacked(kind, length, axis) for kind, axis in stacked)]
    return [helper.make_sequence_type_proto(kind) for kind in result_types]


def sequence_elements(
    proto: NodeProto, run: SubgraphRun, result_types: Sequence[TypeProto], inner: Scope
) -> dict[str, Sequence[TypeProto]]:
    """Elements of the sequences that a map outputs or a loop extends once per iteration."""
    count = int(run.repeats or 0)
    if not 0 < count <= KEPT_ELEMENTS:
        return {}
    if proto.op_type == "SequenceMap":
        return {
            name: [kind] * count for name, kind in zip(proto.output, result_types, strict=False)
        }
    elements: dict[str, Sequence[TypeProto]] = {}
    for place, (name, value) in enumerate(zip(proto.output, run.graph.output[1:], strict=False), 2):
        filled = inner.sequences.get(value.name, ())
        if place in run.empty and len(filled) == 1:
            elements[name] = [*filled] * count
    return elements


def generalised(run: SubgraphRun, result_types: Sequence[TypeProto]) -> SubgraphRun | None:
    """Run of a loop in which the dimensions that its body changes are unknown; None if none do."""
    carried = run.inputs[2:]
    after = [
        merged_type(a, b) for a, b in zip(carried, result_types[1 : 1 + len(carried)], strict=False)
    ]
    if len(after) != len(carried) or all(
        dims_of(a) == dims_of(b) for a, b in zip(carried, after, strict=True)
    ):
        return None
    return replace(run, inputs=[*run.inputs[:2], *after])


def _branches(inner: dict[str, GraphProto], condition: float | None) -> list[SubgraphRun]:
    """The branch of a known condition; otherwise both, each half of the time."""
    names = ["then_branch", "else_branch"]
    if condition is not None:
        return [
            SubgraphRun(inner[name], (), 1.0)
            for name in [names[0 if condition else 1]]
            if name in inner
        ]
    return [SubgraphRun(inner[name], (), 0.5) for name in names if name in inner]


def _trips(proto: NodeProto, scope: Scope) -> float | None:
    trips = scope.number(proto.input[0]) if proto.input else None
    condition = scope.number(proto.input[1]) if len(proto.input) > 1 else 1.0
    if condition == 0:
        return 0.0
    return trips if trips is not None and 0 <= trips < MAX_TRIPS else None


def _scan(body: GraphProto, node: Node, input_types: Sequence[TypeProto]) -> SubgraphRun:
    """Run of a Scan: each scanned input without the axis along which it is scanned."""
    count = node.integer("num_scan_inputs", 1)
    states, scanned = (
        input_types[: len(input_types) - count],
        input_types[len(input_types) - count :],
    )
    axes = node.integers("scan_input_axes") or (0,) * count
    length: int | None = None
    slices = []
    for kind, axis in zip(scanned, axes, strict=False):
        dims = dims_of(kind)
        if not dims or not -len(dims) <= axis < len(dims):
            slices.append(tensor_type(kind.tensor_type.elem_type, None))
            continue
        place = axis % len(dims)
        length = dims[place] if length is None else length
        slices.append(tensor_type(kind.tensor_type.elem_type, (*dims[:place], *dims[place + 1 :])))
    return SubgraphRun(body, [*states, *slices], None if length is None else float(length))


def _stacked(kind: TypeProto, length: float | None, axis: int = 0) -> TypeProto:
    dims = dims_of(kind)
    if dims is None:
        return tensor_type(kind.tensor_type.elem_type, None)
    place = axis % (len(dims) + 1)
    size = None if length is None else int(length)
    return tensor_type(kind.tensor_type.elem_type, (*dims[:place], size, *dims[place:]))
