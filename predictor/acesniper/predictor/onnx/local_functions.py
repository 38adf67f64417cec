"""Local functions of a model: their inlining, after a check of what it would produce.

A function that calls the next one ten times, five levels deep, fits into a kilobyte and inlines to
100,000 nodes. The size of the result is computed first, in one visit per function.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import onnx
from onnx import FunctionProto, ModelProto, NodeProto
from onnx.inliner import inline_local_functions

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.onnx.node import subgraphs

MAX_ADDED_NODES = 50_000
"""Nodes that inlining may add; the largest models exported with functions have far fewer."""
MAX_ADDED_BYTES = 256 << 20

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Size:
    """What a list of nodes becomes: nodes, bytes of function bodies, references to attributes."""

    nodes: int = 0
    body_bytes: int = 0
    references: int = 0

    def __add__(self, other: "_Size") -> "_Size":
        return _Size(
            self.nodes + other.nodes,
            self.body_bytes + other.body_bytes,
            self.references + other.references,
        )


def inlined(model: ModelProto) -> ModelProto:
    """The model without local functions.

    Raises InvalidModel: TooLarge if it would grow too much, NotOnnx if a function calls itself.
    """
    if not model.functions:
        return model
    _check_growth(model)
    try:
        return inline_local_functions(model)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise InvalidModel("NotOnnx", f"cannot resolve local functions: {error}") from error


def _check_growth(model: ModelProto) -> None:
    sizes = _Sizes(model.functions)
    added = sizes.calls_of(model.graph.node)
    # Each reference in a body becomes a copy of an attribute that a caller passes.
    copied = added.references * max(map(_attribute_bytes, sizes.callers), default=0)
    if added.nodes > MAX_ADDED_NODES or added.body_bytes + copied > MAX_ADDED_BYTES:
        raise InvalidModel(
            "TooLarge",
            f"the local functions of the model inline to {added.nodes} nodes and"
            f" {added.body_bytes + copied} bytes; the limits are {MAX_ADDED_NODES} and"
            f" {MAX_ADDED_BYTES}. Export the model without functions",
        )


class _Sizes:
    """Sizes of functions with all that they call, each computed once."""

    def __init__(self, functions: Iterable[FunctionProto]) -> None:
        self._functions = {(f.domain, f.name, f.overload): f for f in functions}
        self._sizes: dict[_Key, _Size] = {}
        self._open: set[_Key] = set()
        self.callers: list[NodeProto | FunctionProto] = [*self._functions.values()]

    def calls_of(self, nodes: Iterable[NodeProto]) -> _Size:
        """What the calls in a list of nodes and its subgraphs become."""
        total = _Size()
        for node in _all_nodes(nodes):
            key = (node.domain, node.op_type, node.overload)
            if key in self._functions:
                self.callers.append(node)
                total += self._of(key)
        return total

    def _of(self, key: _Key) -> _Size:
        if key in self._open:
            raise InvalidModel("NotOnnx", f"local function {key[1]!r} calls itself")
        if key not in self._sizes:
            self._open.add(key)
            function = self._functions[key]
            nodes = list(_all_nodes(function.node))
            references = sum(bool(a.ref_attr_name) for node in nodes for a in node.attribute)
            own = _Size(len(nodes), function.ByteSize(), references)
            self._sizes[key] = own + self.calls_of(function.node)
            self._open.remove(key)
        return self._sizes[key]


def _all_nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Nodes and those of their subgraphs."""
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from _all_nodes(graph.node)


def _attribute_bytes(caller: NodeProto | FunctionProto) -> int:
    """Bytes of the largest attribute of a call, or of a function's defaults."""
    attributes = caller.attribute_proto if isinstance(caller, FunctionProto) else caller.attribute
    return max((int(attribute.ByteSize()) for attribute in attributes), default=0)
