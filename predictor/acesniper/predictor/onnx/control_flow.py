"""Graphs inside nodes: which of them run, how often, and what they give."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnx import GraphProto, NodeProto, TensorProto, TypeProto, helper

from acesniper.predictor.onnx.node import KEPT_ELEMENTS, Node
from acesniper.predictor.onnx.scope import Scope, dims_of, merged_type, tensor_type

MAX_TRIPS = 1 << 31
"""A bound beyond this means "until the condition ends it"."""


@dataclass(frozen=True, slots=True)
class SubgraphRun:
    """A graph that runs inside a node, its inputs' types, and how often (None: unknown).

    `empty` are those of its inputs, by place, that are lists without an element at first.
    """

    graph: GraphProto
    inputs: Sequence[TypeProto]
    repeats: float | None
    empty: frozenset[int] = frozenset()


def subgraph_runs(proto: NodeProto, node: Node, scope: Scope) -> list[SubgraphRun]:
    """The graphs inside a node that may run; empty for all but the standard's control flow."""
    if not node.standard:
        return []
    inner = {a.name: a.g for a in proto.attribute if a.HasField("g")}
    given = [scope.types[name] if name else TypeProto() for name in proto.input]
    if node.op == "If":
        return _branches(inner, scope.number(proto.input[0]) if proto.input else None)
    body = inner.get("body", GraphProto())
    if node.op == "Loop":
        counter, go = tensor_type(TensorProto.INT64, ()), tensor_type(TensorProto.BOOL, ())
        sequence_elements = enumerate(scope.sequences.get(name) for name in proto.input)
        empty = frozenset(
            place for place, items in sequence_elements if items is not None and not items
        )
        return [SubgraphRun(body, [counter, go, *given[2:]], _trips(proto, scope), empty)]
    if node.op == "Scan":
        return [_scan(body, node, given)]
    if node.op == "SequenceMap":
        elements = [scope.sequences.get(name, ()) for name in proto.input]
        types = [e[0] if e else TypeProto() for e in elements]
        return [
            SubgraphRun(body, types, float(len(elements[0])) if elements and elements[0] else None)
        ]
    return []


def output_types(
    node: Node, found: Sequence[SubgraphRun], results: Sequence[Sequence[TypeProto]]
) -> list[TypeProto] | None:
    """The types that a node gives, from what its graphs give; None where they say nothing."""
    if not found or not all(results):
        return None
    if node.op == "If":
        branches = list(results)
        if len(branches) == 1:
            return list(branches[0])
        return [merged_type(one, other) for one, other in zip(*branches, strict=False)]
    given = list(results[0])
    if node.op == "Loop":
        carried = len(node.feeds) - 2
        before = found[0].inputs[2:]
        kept = [merged_type(a, b) for a, b in zip(before, given[1 : 1 + carried], strict=False)]
        return [*kept, *(_stacked(each, found[0].repeats) for each in given[1 + carried :])]
    if node.op == "Scan":
        carried = len(node.feeds) - node.integer("num_scan_inputs", 1)
        axes = node.integers("scan_output_axes") or (0,) * len(given)
        stacked = zip(given[carried:], axes, strict=False)
        length = found[0].repeats
        return [*given[:carried], *(_stacked(each, length, axis) for each, axis in stacked)]
    return [helper.make_sequence_type_proto(each) for each in given]


def sequence_elements(
    proto: NodeProto, run: SubgraphRun, given: Sequence[TypeProto], inner: Scope
) -> dict[str, Sequence[TypeProto]]:
    """What the lists hold, by name, that a map gives or a loop fills with one element per turn."""
    count = int(run.repeats or 0)
    if not 0 < count <= KEPT_ELEMENTS:
        return {}
    if proto.op_type == "SequenceMap":
        return {name: [kind] * count for name, kind in zip(proto.output, given, strict=False)}
    found: dict[str, Sequence[TypeProto]] = {}
    for place, (name, each) in enumerate(zip(proto.output, run.graph.output[1:], strict=False), 2):
        filled = inner.sequences.get(each.name, ())
        if place in run.empty and len(filled) == 1:
            found[name] = [*filled] * count
    return found


def generalised(run: SubgraphRun, given: Sequence[TypeProto]) -> SubgraphRun | None:
    """A loop's run with the dimensions unknown that its body changes; None where none changes."""
    carried = run.inputs[2:]
    after = [merged_type(a, b) for a, b in zip(carried, given[1 : 1 + len(carried)], strict=False)]
    if len(after) != len(carried) or all(
        dims_of(a) == dims_of(b) for a, b in zip(carried, after, strict=True)
    ):
        return None
    return replace(run, inputs=[*run.inputs[:2], *after])


def _branches(inner: dict[str, GraphProto], choice: float | None) -> list[SubgraphRun]:
    """The branch that a known condition takes, else each half of the times."""
    names = ["then_branch", "else_branch"]
    if choice is not None:
        return [
            SubgraphRun(inner[name], (), 1.0)
            for name in [names[0 if choice else 1]]
            if name in inner
        ]
    return [SubgraphRun(inner[name], (), 0.5) for name in names if name in inner]


def _trips(proto: NodeProto, scope: Scope) -> float | None:
    most = scope.number(proto.input[0]) if proto.input else None
    go = scope.number(proto.input[1]) if len(proto.input) > 1 else 1.0
    if go == 0:
        return 0.0
    return most if most is not None and 0 <= most < MAX_TRIPS else None


def _scan(body: GraphProto, node: Node, given: Sequence[TypeProto]) -> SubgraphRun:
    """Each scanned input without the axis along which it is scanned."""
    count = node.integer("num_scan_inputs", 1)
    states, scanned = given[: len(given) - count], given[len(given) - count :]
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
