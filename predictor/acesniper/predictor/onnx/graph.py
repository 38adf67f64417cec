"""From a file to a classified graph; runs in the child process."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, NodeProto, TypeProto, helper
from onnx.inliner import inline_local_functions

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
from acesniper.predictor.onnx.node import Node, Tensor, has_subgraph, node_of
from acesniper.predictor.onnx.op_class import ClassifiedGraph, classify_nodes
from acesniper.predictor.onnx.scope import Scope, dims_of, tensor_type, type_of


def load_graph(path: Path, batch: int, shapes: Mapping[str, int]) -> ClassifiedGraph:
    """The classified graph of the model at `path`, its inputs bound. Raises InvalidModel."""
    model = parse_model(path)
    if model.functions:
        model = _inlined(model)
    check_external_data(model, path.parent)
    inline_small_values(model, path.parent)
    declared = declared_types(model)
    sizes = bind_inputs(model, batch, shapes)
    walked = walk_graph(model, trusted_types(declared, sizes), shapes)
    return ClassifiedGraph(tuple(classify_nodes(walked.nodes)), walked.inputs, walked.outputs)


def parse_model(path: Path) -> ModelProto:
    """The model in a file, without its external weights. Raises InvalidModel (NotOnnx)."""
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise InvalidModel("NotOnnx", f"{path.name} is no ONNX file: {error}") from error
    if not model.graph.node or not model.opset_import:
        raise InvalidModel("NotOnnx", f"{path.name} holds no ONNX graph")
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > newest:
            raise InvalidModel(
                "UnsupportedOpset", f"{path.name} uses opset {opset.version}; {newest} is known"
            )
    return model


def _inlined(model: ModelProto) -> ModelProto:
    try:
        return inline_local_functions(model)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise InvalidModel("NotOnnx", f"local functions cannot be resolved: {error}") from error


# TODO merge docstring of acesniper.predictor.onnx.graph:
# Walk a bound graph: see each node that runs with the shapes of its tensors.

Declared = Mapping[str, TypeProto]
"""Types that the file itself states, for values of operators that nobody knows."""


@dataclass(frozen=True, slots=True)
class WalkedGraph:
    """The nodes of a model in order, those of inner graphs before the node that holds them."""

    nodes: tuple[Node, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def walk_graph(
    model: ModelProto, declared: Declared, sizes: Mapping[str, int] | None = None
) -> WalkedGraph:
    """The nodes of a model whose inputs are bound. Raises InvalidModel.

    `sizes` may state dimensions that depend on the data, by `VALUE:AXIS`.
    """
    opsets = {
        each.domain if each.domain != "ai.onnx" else "": each.version for each in model.opset_import
    }
    walker = _Walker(opsets, declared, sizes or {})
    scope = Scope()
    inputs = model_inputs(model)
    for each in inputs:
        scope.declare(each.name, each.type)
    nodes = tuple(walker.graph(model.graph, scope, 1.0, True))
    return WalkedGraph(
        nodes,
        tuple(scope.tensors[each.name] for each in inputs),
        tuple(scope.tensors[each.name] for each in model.graph.output),
    )


_Result = tuple[list[Node], list[TypeProto], Scope]
"""Of an inner graph: its nodes, the types that it gives, and what is known inside."""


class _Walker:
    """Carries what is the same for a graph and those inside it."""

    def __init__(self, opsets: Opsets, declared: Declared, sizes: Mapping[str, int]) -> None:
        self._opsets = opsets
        self._declared = declared
        self._sizes = sizes
        self._open: dict[str, tuple[str, ...]] = {}  # by value: the dimensions where it began

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
        values = fold(proto, node, scope, found, self._opsets.get("", 1)) or ()
        kinds = [*map(type_of, values), *found[len(values) :]]
        constant = (node.constant and not has_subgraph(proto)) or bool(values)
        for name, kind in zip(proto.output, kinds, strict=False):
            if name:
                scope.declare(name, self._settled(name, kind), constant=constant)
        for name, value in zip(proto.output, values, strict=False):
            if name:
                scope.keep(name, value)
        outputs = tuple(scope.tensor(name) for name in proto.output)
        node = replace(node, outputs=outputs, folded=bool(values))
        return replace(node, open=self._opened(node, scope))

    def _settled(self, name: str, kind: TypeProto) -> TypeProto:
        """The type, or what the file or the caller says of it where it is not known."""
        dims = dims_of(kind)
        if dims is not None and None not in dims:
            return kind
        if name in self._declared:
            return self._declared[name]
        if dims is None:
            return kind
        declared_types = [
            self._sizes.get(f"{name}:{i}") if d is None else d for i, d in enumerate(dims)
        ]
        return tensor_type(kind.tensor_type.elem_type, declared_types)

    def _opened(self, node: Node, scope: Scope) -> tuple[str, ...]:
        """The unknown dimensions with which those of a node began, each as VALUE:AXIS."""
        origin = next((self._open[name] for name in node.feeds if name in self._open), None)
        for name, tensor in zip(node.gives, node.outputs, strict=True):
            if name and tensor.shape is None:
                dims = dims_of(scope.types[name]) or ()
                own = tuple(f"{name}:{i}" for i, dim in enumerate(dims) if dim is None)
                origin = own if origin is None else origin
                self._open[name] = origin
        return origin or ()

    def _inside(
        self, proto: NodeProto, node: Node, scope: Scope
    ) -> tuple[list[Node], list[TypeProto] | None]:
        """The nodes of the graphs in a node, and the types that it gives."""
        found = control_flow.subgraph_runs(proto, node, scope)
        nodes: list[Node] = []
        results: list[list[TypeProto]] = []
        for run in found:
            inner, given, known = self._settled_run(run, node, scope)
            nodes.extend(inner)
            results.append(given)
            scope.sequences.update(control_flow.sequence_elements(proto, run, given, known))
            if node.op == "If" and len(found) == 1:
                self._take_values(proto, run, known, scope)
        return nodes, control_flow.output_types(node, found, results)

    def _settled_run(self, run: control_flow.SubgraphRun, node: Node, scope: Scope) -> _Result:
        """A graph inside a node; the body of a loop with the shapes that hold in every turn."""
        result = self._run(run, node, scope)
        if node.op != "Loop":
            return result
        wider = control_flow.generalised(run, result[1])
        if wider is not None:
            result = self._run(wider, node, scope)
        if run.repeats and any(not each.shaped for each in result[0]):
            turns = [self._run(wider or run, node, scope, turn) for turn in (0, run.repeats - 1)]
            first, last = ([each.outputs for each in nodes] for nodes, _, _ in turns)
            return turns[0] if first == last else result
        return result

    def _run(
        self, run: control_flow.SubgraphRun, node: Node, outer: Scope, turn: float | None = None
    ) -> _Result:
        """One walk through an inner graph; `turn` is the value of a loop's counter."""
        scope = Scope(outer)
        for each, kind in zip(run.graph.input, run.inputs, strict=False):
            scope.declare(each.name, kind if kind.WhichOneof("value") else each.type)
        for place, each in enumerate(run.graph.input):
            if place in run.empty:
                scope.sequences[each.name] = ()
        if turn is not None and run.graph.input:
            scope.keep(run.graph.input[0].name, np.asarray(turn, dtype=np.int64))
        repeats = node.repeats * (1.0 if run.repeats is None else run.repeats)
        bounded = node.bounded and run.repeats is not None
        nodes = list(self.graph(run.graph, scope, repeats, bounded))
        return nodes, [scope.types[each.name] for each in run.graph.output], scope

    def _take_values(
        self, proto: NodeProto, run: control_flow.SubgraphRun, inner: Scope, outer: Scope
    ) -> None:
        """Small constants that the only branch gives."""
        for name, each in zip(proto.output, run.graph.output, strict=False):
            if name and each.name in inner.protos:
                outer.protos[name] = inner.protos[each.name]

    def _check_inputs(self, proto: NodeProto, graph: GraphProto, scope: Scope) -> None:
        texts = (proto.op_type, proto.domain, *proto.input, *proto.output)
        if not all(isinstance(each, str) for each in texts):  # protobuf hands out bytes then
            raise InvalidModel("NotOnnx", f"a node has a name that is no text: {texts}")
        for name in proto.input:
            if name and name not in scope.types:
                later = any(name in each.output for each in graph.node)
                why = "comes later (a cycle, or nodes out of order)" if later else "nothing gives"
                raise InvalidModel("NotOnnx", f"{proto.op_type} reads {name!r}, which {why}")

    def _check_outputs(self, graph: GraphProto, scope: Scope) -> None:
        for each in graph.output:
            if each.name not in scope.types:
                raise InvalidModel("NotOnnx", f"nothing gives the output {each.name!r}")
