"""A node with its tensors and attributes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnx import AttributeProto, NodeProto, helper

from acesniper.predictor.onnx.node import Tensor

STANDARD_DOMAINS = ("", "ai.onnx")
NHWC = "com.ms.internal.nhwc"
CONTRIB_DOMAINS = ("com.microsoft", "com.microsoft.nchwc", NHWC)
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
