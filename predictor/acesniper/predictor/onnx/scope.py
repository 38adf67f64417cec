"""Scope of a graph: types, small constants and sequences of the values visible in it."""

import hashlib
from collections import ChainMap
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from onnx import TensorProto, TypeProto, helper, numpy_helper

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.onnx.node import (
    KEPT_ELEMENTS,
    OMITTED,
    Tensor,
    checked_tensor,
    has_values,
    item_bytes,
    tensor_values,
)

T = TypeVar("T")
Dims = tuple[int | None, ...]


class Scope:
    """Types, small constant values and sequences by name; a subgraph sees the outer ones."""

    def __init__(self, outer: "Scope | None" = None) -> None:
        self.types: ChainMap[str, TypeProto] = _child_map(outer.types if outer else None)
        self.protos: ChainMap[str, TensorProto] = _child_map(outer.protos if outer else None)
        self.sequences: ChainMap[str, Sequence[TypeProto]] = _child_map(
            outer.sequences if outer else None
        )
        self.tensors: ChainMap[str, Tensor] = _child_map(outer.tensors if outer else None)

    def declare(self, name: str, kind: TypeProto, *, constant: bool = False) -> None:
        """Declare a value. Raises InvalidModel for a name declared twice or an absurd size."""
        if name in self.types.maps[0]:
            raise InvalidModel("NotOnnx", f"value {name!r} has more than one producer")
        self.types[name] = kind
        self.tensors[name] = tensor_of(name, kind, constant)

    def add_initializer(self, tensor: TensorProto) -> None:
        """Declare a weight; a small one keeps its values."""
        checked_tensor(tensor.name, tensor.dims, tensor.data_type, constant=True)
        kind = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        self.declare(tensor.name, kind, constant=True)
        if self.tensors[tensor.name].elements <= KEPT_ELEMENTS and has_values(tensor):
            self.protos[tensor.name] = tensor

    def set_value(self, name: str, value: np.ndarray) -> None:
        """Set the value of a constant; a large one is not kept."""
        if value.size <= KEPT_ELEMENTS:
            self.protos[name] = numpy_helper.from_array(value, name)

    def fingerprint(self, names: Iterable[str]) -> bytes:
        """Digest of all that is known about values of the outer scopes."""
        digest = hashlib.sha256()
        for name in names:
            kinds = [self.types.get(name), self.protos.get(name), *self.sequences.get(name, ())]
            constant = self.tensors[name].constant if name in self.tensors else False
            digest.update(f"{len(kinds)} {name in self.sequences} {constant}".encode())
            for kind in kinds:
                content = b"" if kind is None else kind.SerializeToString(deterministic=True)
                digest.update(b"%d:" % len(content) + content)
        return digest.digest()

    def array(self, name: str) -> np.ndarray | None:
        """Value of a small constant; None if it is unknown."""
        proto = self.protos.get(name)
        return None if proto is None else tensor_values(proto)

    def number(self, name: str) -> float | None:
        """Value of a constant scalar; None if it is unknown."""
        array = self.array(name) if name else None
        if array is None or array.size != 1 or array.dtype.kind not in "biuf":
            return None
        return float(array.ravel()[0])

    def tensor(self, name: str) -> Tensor:
        """Tensor of a value; OMITTED for an optional input without one."""
        return self.tensors[name] if name else OMITTED


def _child_map(outer: ChainMap[str, T] | None) -> ChainMap[str, T]:
    return outer.new_child() if outer is not None else ChainMap()


def tensor_of(name: str, kind: TypeProto, constant: bool = False) -> Tensor:
    """Tensor of a type; its shape is unknown if one of its dimensions is.

    Sequences and the like have no size: their elements count once they are taken out.
    """
    if kind.WhichOneof("value") not in (None, "tensor_type", "sparse_tensor_type"):
        return Tensor((), 0.0, constant)
    dims = dims_of(kind)
    element = kind.tensor_type.elem_type
    if dims is None or any(dim is None for dim in dims):
        return Tensor(None, item_bytes(element), constant)
    return checked_tensor(name, [dim for dim in dims if dim is not None], element, constant)


def dims_of(kind: TypeProto) -> Dims | None:
    """Dimensions of a tensor type, None for each unknown one; None if the rank is unknown."""
    tensor = kind.tensor_type
    if not kind.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None
        for dim in tensor.shape.dim
    )


def tensor_type(element: int, dims: Iterable[int | None] | None) -> TypeProto:
    """Tensor type with these dimensions; None stands for an unknown dimension or rank."""
    kind: TypeProto = helper.make_tensor_type_proto(element, None if dims is None else list(dims))
    return kind


def type_of(value: np.ndarray) -> TypeProto:
    """Tensor type of a known value."""
    return tensor_type(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def merged_type(one: TypeProto, other: TypeProto) -> TypeProto:
    """Most specific type that covers both: dimensions that differ are unknown."""
    if one.HasField("sequence_type"):
        return one
    left, right = dims_of(one), dims_of(other)
    if left is None or right is None or len(left) != len(right):
        return tensor_type(one.tensor_type.elem_type, None)
    dims = [a if a == b else None for a, b in zip(left, right, strict=True)]
    return tensor_type(one.tensor_type.elem_type, dims)
