"""Reading of an ONNX file into a classified graph; runs in the sandbox.

`load_graph` parses the file, inlines local functions, binds the inputs and walks the graph node by
node, so that each node that runs has the shapes of its tensors; then it classifies the nodes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, NodeProto, TypeProto, helper

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.onnx import control_flow
from acesniper.predictor.onnx.bind import (
    bind_inputs,
    check_external_data,
    declared_types,
    inline_small_values,
    model_inputs,
    trusted_types,
)
from acesniper.predictor.onnx.fold import fold
from acesniper.predictor.onnx.infer import Opsets, infer_types, sequence_types
from acesniper.predictor.onnx.local_functions import inlined
from acesniper.predictor.onnx.node import (
    Node,
    Tensor,
    check_texts,
    graphs,
    has_subgraph,
    node_of,
    subgraphs,
)
from acesniper.predictor.onnx.op_class import ClassifiedGraph, classify_nodes
from acesniper.predictor.onnx.scope import Scope, dims_of, tensor_type, type_of

Declared = Mapping[str, TypeProto]
"""Types that the file declares for values, used for the outputs of unknown operators."""


def load_graph(path: Path, batch: int, shapes: Mapping[str, int]) -> ClassifiedGraph:
    """The classified graph of the model at `path`, with bound inputs. Raises InvalidModel."""
    model = inlined(parse_model(path))
    check_external_data(model, path.parent)
    inline_small_values(model, path.parent)
    declared = declared_types(model)
    sizes = bind_inputs(model, batch, shapes)
    walked = walk_graph(model, trusted_types(declared, sizes), shapes)
    return ClassifiedGraph(tuple(classify_nodes(walked.nodes)), walked.inputs, walked.outputs)


def parse_model(path: Path) -> ModelProto:
    """The model in a file, without external weights. Raises InvalidModel (NotOnnx)."""
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise InvalidModel("NotOnnx", f"not an ONNX file: {error}") from error
    check_texts(model)
    if not model.graph.node or not model.opset_import:
        raise InvalidModel("NotOnnx", "the file contains no ONNX graph")
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > newest:
            raise InvalidModel(
                "UnsupportedOpset",
                f"the model uses opset {opset.version}, the newest supported opset is {newest};"
                f" export it with opset {newest} or older",
            )
    return model


@dataclass(frozen=True, slots=True)
class WalkedGraph:
    """Nodes of a model in order, those of a subgraph before the node that contains it."""

    nodes: tuple[Node, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def walk_graph(
    model: ModelProto, declared: Declared, sizes: Mapping[str, int] | None = None
) -> WalkedGraph:
    """Nodes of a model with bound inputs. Raises InvalidModel.

    `sizes` may give the sizes of data-dependent dimensions, by `VALUE:AXIS`.
    """
    opsets = {
        opset.domain if opset.domain != "ai.onnx" else "": opset.version
        for opset in model.opset_import
    }
    walker = _Walker(opsets, declared, sizes or {}, sum(len(g.node) for g in graphs(model.graph)))
    scope = Scope()
    inputs = model_inputs(model)
    for value in inputs:
        scope.declare(value.name, value.type)
    nodes = tuple(walker.walk(model.graph, scope, 1.0, True))
    return WalkedGraph(
        nodes,
        tuple(scope.tensors[value.name] for value in inputs),
        tuple(scope.tensors[value.name] for value in model.graph.output),
    )


_SubgraphResult = tuple[list[Node], list[TypeProto], Scope]
"""Nodes of a subgraph, the types of its outputs, and its scope."""

STEPS_PER_NODE = 32
"""Visits per node of the file. A loop takes up to four walks; nested loops multiply them if the
shapes inside depend on every counter."""
MIN_STEPS = 10_000


class _Walker:
    """Walk over a graph and its subgraphs, with the state that they share."""

    def __init__(
        self, opsets: Opsets, declared: Declared, sizes: Mapping[str, int], node_count: int
    ) -> None:
        self._opsets = opsets
        self._declared = declared
        self._sizes = sizes
        # By value of unknown shape: the data-dependent dimensions that caused it.
        self._origins: dict[str, tuple[str, ...]] = {}
        self._steps_left = max(MIN_STEPS, STEPS_PER_NODE * node_count)
        # By identity of a subgraph, which is kept: its Python object would be made again otherwise.
        self._captured: dict[int, tuple[GraphProto, tuple[str, ...]]] = {}
        self._results: dict[tuple[object, ...], _SubgraphResult] = {}

    def walk(
        self, graph: GraphProto, scope: Scope, repeats: float, bounded: bool
    ) -> Iterator[Node]:
        for tensor in graph.initializer:
            scope.add_initializer(tensor)
        for sparse in graph.sparse_initializer:
            kind = helper.make_tensor_type_proto(sparse.values.data_type, sparse.dims)
            scope.declare(sparse.values.name, kind, constant=True)
        for proto in graph.node:
            self._count_step()
            self._check_inputs(proto, graph, scope)
            node = replace(node_of(proto, scope.tensor), repeats=repeats, bounded=bounded)
            inner, types = self._walk_subgraphs(proto, node, scope)
            yield from inner
            yield self._with_outputs(proto, node, scope, types)
        self._check_outputs(graph, scope)

    def _with_outputs(
        self, proto: NodeProto, node: Node, scope: Scope, types: Sequence[TypeProto] | None
    ) -> Node:
        """The node with its outputs, which are declared in the scope."""
        inferred = list(types or ()) or sequence_types(proto, scope)
        if inferred is None:
            inferred = infer_types(proto, node, scope, self._opsets)
        values = fold(proto, node, scope, inferred, self._opsets.get("", 1)) or ()
        output_types = [*map(type_of, values), *inferred[len(values) :]]
        constant = (node.constant and not has_subgraph(proto)) or bool(values)
        for name, output_type in zip(proto.output, output_types, strict=False):
            if name:
                scope.declare(name, self._completed(name, output_type), constant=constant)
        for name, value in zip(proto.output, values, strict=False):
            if name:
                scope.set_value(name, value)
        outputs = tuple(scope.tensor(name) for name in proto.output)
        node = replace(node, outputs=outputs, folded=bool(values))
        return replace(node, unknown_dims=self._unknown_dims(node, scope))

    def _completed(self, name: str, inferred: TypeProto) -> TypeProto:
        """The inferred type, completed by what the file or the caller says about unknown sizes."""
        dims = dims_of(inferred)
        if dims is not None and None not in dims:
            return inferred
        if name in self._declared:
            return self._declared[name]
        if dims is None:
            return inferred
        sizes = [self._sizes.get(f"{name}:{i}") if d is None else d for i, d in enumerate(dims)]
        return tensor_type(inferred.tensor_type.elem_type, sizes)

    def _unknown_dims(self, node: Node, scope: Scope) -> tuple[str, ...]:
        """The dimensions, as VALUE:AXIS, that make those of a node unknown."""
        origin = next(
            (self._origins[name] for name in node.input_names if name in self._origins), None
        )
        for name, tensor in zip(node.output_names, node.outputs, strict=True):
            if name and tensor.shape is None:
                dims = dims_of(scope.types[name]) or ()
                own = tuple(f"{name}:{i}" for i, dim in enumerate(dims) if dim is None)
                origin = own if origin is None else origin
                self._origins[name] = origin
        return origin or ()

    def _walk_subgraphs(
        self, proto: NodeProto, node: Node, scope: Scope
    ) -> tuple[list[Node], list[TypeProto] | None]:
        """Nodes of the subgraphs of a node, and the types of the node's outputs."""
        runs = control_flow.subgraph_runs(proto, node, scope)
        nodes: list[Node] = []
        results: list[list[TypeProto]] = []
        for run in runs:
            inner, types, inner_scope = self._walk_to_fixed_point(run, node, scope)
            nodes.extend(inner)
            results.append(types)
            scope.sequences.update(control_flow.sequence_elements(proto, run, types, inner_scope))
            if node.op == "If" and len(runs) == 1:
                self._adopt_values(proto, run, inner_scope, scope)
        return nodes, control_flow.output_types(node, runs, results)

    def _walk_to_fixed_point(
        self, run: control_flow.SubgraphRun, node: Node, scope: Scope
    ) -> _SubgraphResult:
        """A subgraph; the body of a loop with the shapes that hold in every iteration."""
        result = self._walk_run(run, node, scope)
        if node.op != "Loop":
            return result
        general = control_flow.generalised(run, result[1])
        if general is not None:
            result = self._walk_run(general, node, scope)
        if run.repeats and any(not inner.shaped for inner in result[0]):
            # Shapes may depend on the counter: they hold if first and last iteration agree.
            ends = [
                self._walk_run(general or run, node, scope, iteration)
                for iteration in (0, run.repeats - 1)
            ]
            first, last = ([inner.outputs for inner in nodes] for nodes, _, _ in ends)
            return ends[0] if first == last else result
        return result

    def _walk_run(
        self,
        run: control_flow.SubgraphRun,
        node: Node,
        outer: Scope,
        iteration: float | None = None,
    ) -> _SubgraphResult:
        """One walk through a subgraph; `iteration` is the value of a loop's counter.

        The same walk is made once, as long as the outer values that the subgraph reads are the
        same: each loop around it would multiply the walks otherwise.
        """
        captured = outer.fingerprint(self._captured_names(run.graph))
        kinds = tuple(kind.SerializeToString(deterministic=True) for kind in run.inputs)
        key = (id(run.graph), kinds, run.empty, run.repeats, node.repeats, iteration, captured)
        if key not in self._results:
            self._results[key] = self._walk_again(run, node, outer, iteration)
        return self._results[key]

    def _walk_again(
        self, run: control_flow.SubgraphRun, node: Node, outer: Scope, iteration: float | None
    ) -> _SubgraphResult:
        scope = Scope(outer)
        for value, kind in zip(run.graph.input, run.inputs, strict=False):
            scope.declare(value.name, kind if kind.WhichOneof("value") else value.type)
        for place, value in enumerate(run.graph.input):
            if place in run.empty:
                scope.sequences[value.name] = ()
        if iteration is not None and run.graph.input:
            scope.set_value(run.graph.input[0].name, np.asarray(iteration, dtype=np.int64))
        repeats = node.repeats * (1.0 if run.repeats is None else run.repeats)
        bounded = node.bounded and run.repeats is not None
        nodes = list(self.walk(run.graph, scope, repeats, bounded))
        return nodes, [scope.types[value.name] for value in run.graph.output], scope

    def _captured_names(self, graph: GraphProto) -> tuple[str, ...]:
        """Names of outer values that a subgraph, or one inside it, reads or returns."""
        if id(graph) not in self._captured:
            read = {value.name for value in graph.output}
            made = {value.name for value in graph.input}
            made.update(tensor.name for tensor in graph.initializer)
            for proto in graph.node:
                read.update(proto.input)
                for inner in subgraphs(proto):
                    read.update(self._captured_names(inner))
                made.update(proto.output)
            self._captured[id(graph)] = graph, tuple(sorted(read - made - {""}))
        return self._captured[id(graph)][1]

    def _count_step(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise InvalidModel(
                "TooLarge",
                "the shapes in nested loops depend on each other in too many ways; export the"
                " model with fixed shapes, or without nested loops",
            )

    def _adopt_values(
        self, proto: NodeProto, run: control_flow.SubgraphRun, inner: Scope, outer: Scope
    ) -> None:
        """Copy small constants that the only branch outputs to the outer scope."""
        for name, value in zip(proto.output, run.graph.output, strict=False):
            if name and value.name in inner.protos:
                outer.protos[name] = inner.protos[value.name]

    def _check_inputs(self, proto: NodeProto, graph: GraphProto, scope: Scope) -> None:
        for name in proto.input:
            if name and name not in scope.types:
                is_later = any(name in other.output for other in graph.node)
                why = (
                    "is produced by a later node (the graph has a cycle or is not sorted)"
                    if is_later
                    else "no node produces"
                )
                label = f"{proto.op_type} node {proto.name!r}" if proto.name else proto.op_type
                raise InvalidModel("NotOnnx", f"{label} reads {name!r}, which {why}")

    def _check_outputs(self, graph: GraphProto, scope: Scope) -> None:
        for value in graph.output:
            if value.name not in scope.types:
                raise InvalidModel("NotOnnx", f"no node produces the graph output {value.name!r}")
