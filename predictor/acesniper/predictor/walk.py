"""Walk a bound graph: see each node that runs with the shapes of its tensors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from onnx import GraphProto, ModelProto, NodeProto, TypeProto, helper

from acesniper.domain.errors import InvalidModel
from acesniper.predictor import control
from acesniper.predictor.folding import fold
from acesniper.predictor.inference import Opsets, infer_types
from acesniper.predictor.nodes import Node, node_of
from acesniper.predictor.scope import Scope, dims_of
from acesniper.predictor.sequences import sequence_types
from acesniper.predictor.tensors import Tensor

Declared = Mapping[str, TypeProto]
"""Types that the file itself states, for values of operators that nobody knows."""


@dataclass(frozen=True, slots=True)
class Walked:
    """The nodes of a model in order, those of inner graphs before the node that holds them."""

    nodes: tuple[Node, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def walk(model: ModelProto, declared: Declared) -> Walked:
    """The nodes of a model whose inputs are bound. Raises InvalidModel."""
    opsets = {
        each.domain if each.domain != "ai.onnx" else "": each.version for each in model.opset_import
    }
    walker = _Walker(opsets, declared)
    scope = Scope()
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    for each in inputs:
        scope.declare(each.name, each.type)
    nodes = tuple(walker.graph(model.graph, scope, 1.0, True))
    return Walked(
        nodes,
        tuple(scope.tensors[each.name] for each in inputs),
        tuple(scope.tensors[each.name] for each in model.graph.output),
    )


class _Walker:
    """Carries what is the same for a graph and those inside it."""

    def __init__(self, opsets: Opsets, declared: Declared) -> None:
        self._opsets = opsets
        self._declared = declared

    def graph(
        self, graph: GraphProto, scope: Scope, repeats: float, bounded: bool
    ) -> Iterator[Node]:
        for tensor in graph.initializer:
            scope.hold(tensor)
        for sparse in graph.sparse_initializer:
            kind = helper.make_tensor_type_proto(sparse.values.data_type, sparse.dims)
            scope.declare(sparse.values.name, kind, constant=True)
        for proto in graph.node:
            self._check_inputs(proto, graph, scope)
            node = replace(node_of(proto, scope.tensor), repeats=repeats, bounded=bounded)
            inner, types = self._inside(proto, node, scope)
            yield from inner
            yield self._finished(proto, node, scope, types)
        self._check_outputs(graph, scope)

    def _finished(
        self, proto: NodeProto, node: Node, scope: Scope, types: Sequence[TypeProto] | None
    ) -> Node:
        """The node with its outputs, which the scope knows from here on."""
        found = list(types or ()) or sequence_types(proto, scope)
        if found is None:
            found = infer_types(proto, node, scope, self._opsets)
        values = fold(proto, node, scope)
        constant = node.constant and not control.has_subgraph(proto)
        for name, kind in zip(proto.output, found, strict=False):
            if name:
                known = self._or_declared(name, kind)
                scope.declare(name, known, constant=constant or values is not None)
        for name, value in zip(proto.output, values or (), strict=False):
            if name:
                scope.keep(name, value)
        outputs = tuple(scope.tensor(name) for name in proto.output)
        return replace(node, outputs=outputs, folded=values is not None)

    def _inside(
        self, proto: NodeProto, node: Node, scope: Scope
    ) -> tuple[list[Node], list[TypeProto] | None]:
        """The nodes of the graphs in a node, and the types that it gives."""
        found = control.runs(proto, node, scope)
        nodes: list[Node] = []
        results: list[list[TypeProto]] = []
        for run in found:
            inner, given = self._run(run, node, scope)
            again = control.widened(run, given) if node.op == "Loop" else None
            if again is not None:
                inner, given = self._run(again, node, scope)
            nodes.extend(inner)
            results.append(given)
        return nodes, control.outputs(node, found, results)

    def _run(
        self, run: control.Run, node: Node, outer: Scope
    ) -> tuple[list[Node], list[TypeProto]]:
        scope = Scope(outer)
        for each, kind in zip(run.graph.input, run.inputs, strict=False):
            scope.declare(each.name, kind if kind.WhichOneof("value") else each.type)
        repeats = node.repeats * (1.0 if run.repeats is None else run.repeats)
        bounded = node.bounded and run.repeats is not None
        nodes = list(self.graph(run.graph, scope, repeats, bounded))
        return nodes, [scope.types[each.name] for each in run.graph.output]

    def _or_declared(self, name: str, kind: TypeProto) -> TypeProto:
        dims = dims_of(kind)
        known = dims is not None and None not in dims
        return kind if known or name not in self._declared else self._declared[name]

    def _check_inputs(self, proto: NodeProto, graph: GraphProto, scope: Scope) -> None:
        for name in proto.input:
            if name and name not in scope.types:
                later = any(name in each.output for each in graph.node)
                why = "comes later (a cycle, or nodes out of order)" if later else "nothing gives"
                raise InvalidModel("NotOnnx", f"{proto.op_type} reads {name!r}, which {why}")

    def _check_outputs(self, graph: GraphProto, scope: Scope) -> None:
        for each in graph.output:
            if each.name not in scope.types:
                raise InvalidModel("NotOnnx", f"nothing gives the output {each.name!r}")
