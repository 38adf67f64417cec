"""Give every dimension of a model's inputs a size."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from onnx import ModelProto, TensorProto, TypeProto, ValueInfoProto

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.onnx.node import KEPT_ELEMENTS, constant_tensors, graphs, item_bytes


def bind_inputs(
    model: ModelProto, batch: int = 1, shapes: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Set the inputs' open dimensions in place, and forget shapes inferred before.

    A symbolic first dimension is the batch; other symbolic names come from `shapes`, dimensions
    without a name as `INPUT:AXIS`. Gives the sizes of the open dimensions by name. Raises
    InvalidModel (UnboundDimension, FixedBatch).
    """
    inputs = model_inputs(model)
    sizes = _sizes(inputs, batch, shapes or {})
    opened = _open_dims(inputs)
    for each in inputs:
        _bind_input(each, sizes)
    if batch != 1 and inputs and not any(_size_of(each, 0) == batch for each in inputs):
        raise InvalidModel(
            "FixedBatch",
            f"batch {batch} was asked for, but input {inputs[0].name!r} has the fixed first"
            f" dimension {_size_of(inputs[0], 0)}; export the model with a symbolic batch",
        )
    del model.graph.value_info[:]
    for output in model.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    return {name: size for name, size in sizes.items() if name in opened}


def applicable_shapes(model: ModelProto, shapes: Mapping[str, int]) -> dict[str, int]:
    """The sizes of dimensions that the model has, where they are meant for many models."""
    opened = _open_dims(model_inputs(model))
    return {name: size for name, size in shapes.items() if name in opened or ":" in name}


def model_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """The inputs that are no weights: old files list those among the inputs."""
    names = {tensor.name for tensor in model.graph.initializer}
    names |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return [each for each in model.graph.input if each.name not in names]


def _open_dims(inputs: Sequence[ValueInfoProto]) -> set[str]:
    """The names of the dimensions that have no size."""
    return {
        _dim_name(each, axis) for each in inputs for axis in _axes(each) if _is_open(each, axis)
    }


def _sizes(
    inputs: Sequence[ValueInfoProto], batch: int, shapes: Mapping[str, int]
) -> dict[str, int]:
    """The sizes of dimensions by name; those that come first somewhere are the batch."""
    if batch < 1 or any(size < 0 for size in shapes.values()):
        given = {"batch": batch, **shapes}
        raise InvalidModel("BadShape", f"a batch of 1 and sizes of 0 are the least, not {given}")
    opened = _open_dims(inputs)
    stray = sorted(name for name in shapes if name not in opened and ":" not in name)
    if stray:  # with a colon it may be a value inside
        known = ", ".join(sorted(opened)) or "none"
        raise InvalidModel("BadShape", f"no open dimension is named {stray[0]!r}; open: {known}")
    first = {_dim_name(each, 0) for each in inputs if _is_open(each, 0)}
    return {**dict.fromkeys(first, batch), **shapes}


def declared_types(model: ModelProto) -> dict[str, TypeProto]:
    """The types that the file itself states for values inside it, before they are forgotten."""
    found: dict[str, TypeProto] = {}
    for graph in graphs(model.graph):
        for value in (*graph.value_info, *graph.output):
            found[value.name] = TypeProto()
            found[value.name].CopyFrom(value.type)
    return found


def trusted_types(types: Mapping[str, TypeProto], sizes: Mapping[str, int]) -> dict[str, TypeProto]:
    """The stated types with the sizes of open dimensions put in.

    Where some dimension was open, a type of plain numbers may stem from another size of it: only
    types that name an open dimension are believed then.
    """
    found = {}
    for name, kind in types.items():
        dims = kind.tensor_type.shape.dim
        named = any(dim.dim_param in sizes for dim in dims)
        for dim in dims:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
        whole = all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in dims)
        if kind.tensor_type.HasField("shape") and whole and (named or not sizes):
            found[name] = kind
    return found


def _bind_input(value: ValueInfoProto, sizes: Mapping[str, int]) -> None:
    if not value.type.HasField("tensor_type"):
        raise InvalidModel(
            "UnsupportedInput", f"input {value.name!r} is no tensor (a sequence, map or optional)"
        )
    if not value.type.tensor_type.HasField("shape"):
        raise InvalidModel(
            "UnboundDimension", f"input {value.name!r} has no shape; export the model with one"
        )
    for axis, dim in enumerate(value.type.tensor_type.shape.dim):
        if not _is_open(value, axis):
            continue
        name = _dim_name(value, axis)
        if name not in sizes:
            raise InvalidModel(
                "UnboundDimension",
                f"dimension {name!r} (axis {axis} of input {value.name!r}) has no size;"
                f" give it one: --shape {name}=SIZE, or spec.inputShapes",
            )
        dim.dim_value = sizes[name]


def _is_open(value: ValueInfoProto, axis: int) -> bool:
    dims = value.type.tensor_type.shape.dim
    return axis < len(dims) and not (dims[axis].HasField("dim_value") and dims[axis].dim_value > 0)


def _axes(value: ValueInfoProto) -> range:
    return range(len(value.type.tensor_type.shape.dim))


def _size_of(value: ValueInfoProto, axis: int) -> int:
    dims = value.type.tensor_type.shape.dim
    return int(dims[axis].dim_value) if axis < len(dims) else 0


def _dim_name(value: ValueInfoProto, axis: int) -> str:
    return value.type.tensor_type.shape.dim[axis].dim_param or f"{value.name}:{axis}"


# TODO merge docstring of acesniper.predictor.onnx.bind:
# Values that lie in files beside the model.
#
# Weights stay where they are. Only small values are taken in, because shapes may depend on them.
# some exporters put every tensor outside.


def check_external_data(model: ModelProto, folder: Path) -> None:
    """Refuse values that lie outside the model's folder; none is opened."""
    home = folder.resolve()
    for tensor in external_tensors(model):
        entry = _external_entries(tensor).get("location", "")
        location = Path(entry)
        inside = (home / location).resolve().is_relative_to(home)
        if not entry or location.is_absolute() or ".." in location.parts or not inside:
            raise InvalidModel(
                "ExternalDataOutside",
                f"weights of {tensor.name!r} lie at {entry!r}, outside the model's folder",
            )


def inline_small_values(model: ModelProto, folder: Path) -> None:
    """Read small values from files in the folder, in place; one without its file stays unknown.

    The locations must have been checked.
    """
    for tensor in external_tensors(model):
        small = math.prod(tensor.dims) <= KEPT_ELEMENTS and all(dim >= 0 for dim in tensor.dims)
        if not small or tensor.data_type == TensorProto.STRING:
            continue
        size = math.ceil(math.prod(tensor.dims) * item_bytes(tensor.data_type))
        entries = _external_entries(tensor)
        offset, file = entries.get("offset", "0"), folder / entries["location"]
        found = _read_range(file, int(offset), size) if offset.isdecimal() else b""
        if len(found) == size:
            tensor.raw_data = found
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]


def external_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """The weights and constants whose values lie outside of the model's file."""
    for graph in graphs(model.graph):
        for tensor in constant_tensors(graph):
            if tensor.data_location == TensorProto.EXTERNAL:
                yield tensor


def _external_entries(tensor: TensorProto) -> dict[str, str]:
    return {each.key: each.value for each in tensor.external_data}


def _read_range(path: Path, offset: int, size: int) -> bytes:
    """A piece of a plain file; less where it ends before, nothing where it cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except (OSError, OverflowError):
        return b""
