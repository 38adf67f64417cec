"""Binding of a model's inputs to sizes, and of its external data to files in its folder.

Symbolic dimensions of the inputs get their sizes before shapes are inferred. Weights in external
files stay there; only small values are read, because shapes may depend on them and some exporters
store every tensor externally.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from onnx import ModelProto, TensorProto, TypeProto, ValueInfoProto

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.onnx.node import KEPT_ELEMENTS, constant_tensors, graphs, item_bytes


def bind_inputs(
    model: ModelProto, batch: int = 1, shapes: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Set the symbolic dimensions of the inputs in place, and drop the shapes inferred before.

    A symbolic first dimension is the batch; other symbolic names are looked up in `shapes`, and
    dimensions without a name as `INPUT:AXIS`. Returns the sizes of the symbolic dimensions by name.
    Raises InvalidModel (UnboundDimension, FixedBatch).
    """
    inputs = model_inputs(model)
    sizes = _sizes(inputs, batch, shapes or {})
    symbolic = _symbolic_dims(inputs)
    for value in inputs:
        _bind_input(value, sizes)
    if batch != 1 and inputs and not any(_size_of(value, 0) == batch for value in inputs):
        raise InvalidModel(
            "FixedBatch",
            f"batch {batch} was requested, but input {inputs[0].name!r} has the fixed first"
            f" dimension {_size_of(inputs[0], 0)}; export the model with a symbolic batch",
        )
    del model.graph.value_info[:]
    for output in model.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    return {name: size for name, size in sizes.items() if name in symbolic}


def applicable_shapes(model: ModelProto, shapes: Mapping[str, int]) -> dict[str, int]:
    """The entries of `shapes`, meant for many models, that this model has dimensions for."""
    symbolic = _symbolic_dims(model_inputs(model))
    return {name: size for name, size in shapes.items() if name in symbolic or ":" in name}


def model_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """Inputs without the weights, which old files also list as inputs."""
    names = {tensor.name for tensor in model.graph.initializer}
    names |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return [value for value in model.graph.input if value.name not in names]


def _symbolic_dims(inputs: Sequence[ValueInfoProto]) -> set[str]:
    """Names of the dimensions without a size."""
    return {
        _dim_name(value, axis)
        for value in inputs
        for axis in range(_rank(value))
        if _is_symbolic(value, axis)
    }


def _sizes(
    inputs: Sequence[ValueInfoProto], batch: int, shapes: Mapping[str, int]
) -> dict[str, int]:
    """Sizes of dimensions by name; symbolic first dimensions are the batch."""
    if batch < 1 or any(size < 0 for size in shapes.values()):
        given = {"batch": batch, **shapes}
        raise InvalidModel(
            "BadShape", f"the batch must be at least 1 and sizes at least 0, not {given}"
        )
    symbolic = _symbolic_dims(inputs)
    unknown = sorted(name for name in shapes if name not in symbolic and ":" not in name)
    if unknown:  # a name with a colon may be a value inside the graph
        names = ", ".join(sorted(symbolic)) or "none"
        raise InvalidModel(
            "BadShape",
            f"the model has no symbolic dimension {unknown[0]!r}; its symbolic dimensions: {names}",
        )
    first = {_dim_name(value, 0) for value in inputs if _is_symbolic(value, 0)}
    return {**dict.fromkeys(first, batch), **shapes}


def declared_types(model: ModelProto) -> dict[str, TypeProto]:
    """Types that the file declares for inner values; read before `bind_inputs` drops them."""
    types: dict[str, TypeProto] = {}
    for graph in graphs(model.graph):
        for value in (*graph.value_info, *graph.output):
            types[value.name] = TypeProto()
            types[value.name].CopyFrom(value.type)
    return types


def trusted_types(types: Mapping[str, TypeProto], sizes: Mapping[str, int]) -> dict[str, TypeProto]:
    """The declared types that hold for these sizes of the symbolic dimensions.

    If the model has symbolic dimensions, a type of plain numbers may come from other sizes: only
    types that name a symbolic dimension are used then.
    """
    trusted = {}
    for name, kind in types.items():
        dims = kind.tensor_type.shape.dim
        is_symbolic = any(dim.dim_param in sizes for dim in dims)
        for dim in dims:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
        is_complete = all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in dims)
        if kind.tensor_type.HasField("shape") and is_complete and (is_symbolic or not sizes):
            trusted[name] = kind
    return trusted


def _bind_input(value: ValueInfoProto, sizes: Mapping[str, int]) -> None:
    if not value.type.HasField("tensor_type"):
        raise InvalidModel(
            "UnsupportedInput",
            f"input {value.name!r} is not a tensor (sequences, maps and optionals are not"
            " supported)",
        )
    if not value.type.tensor_type.HasField("shape"):
        raise InvalidModel(
            "UnboundDimension", f"input {value.name!r} has no shape; export the model with one"
        )
    for axis, dim in enumerate(value.type.tensor_type.shape.dim):
        if not _is_symbolic(value, axis):
            continue
        name = _dim_name(value, axis)
        if name not in sizes:
            raise InvalidModel(
                "UnboundDimension",
                f"dimension {name!r} (axis {axis} of input {value.name!r}) has no size;"
                f" set it with --shape {name}=SIZE or spec.inputShapes",
            )
        dim.dim_value = sizes[name]


def _is_symbolic(value: ValueInfoProto, axis: int) -> bool:
    dims = value.type.tensor_type.shape.dim
    return axis < len(dims) and not (dims[axis].HasField("dim_value") and dims[axis].dim_value > 0)


def _rank(value: ValueInfoProto) -> int:
    return len(value.type.tensor_type.shape.dim)


def _size_of(value: ValueInfoProto, axis: int) -> int:
    dims = value.type.tensor_type.shape.dim
    return int(dims[axis].dim_value) if axis < len(dims) else 0


def _dim_name(value: ValueInfoProto, axis: int) -> str:
    return value.type.tensor_type.shape.dim[axis].dim_param or f"{value.name}:{axis}"


def check_external_data(model: ModelProto, folder: Path) -> None:
    """Raise InvalidModel for external data outside the model's folder; opens no file."""
    home = folder.resolve()
    for tensor in external_tensors(model):
        entry = _external_entries(tensor).get("location", "")
        if not _is_inside(home, entry):
            raise InvalidModel(
                "ExternalDataOutside",
                f"tensor {tensor.name!r} has its data at {entry!r}, outside the model's folder",
            )


def _is_inside(home: Path, entry: str) -> bool:
    """Whether a location names a file in a folder, also after its links are followed."""
    try:
        location = Path(entry)
        target = (home / location).resolve()
    except (OSError, RuntimeError, TypeError, ValueError):  # NUL, a loop of links, not UTF-8
        return False
    is_plain = bool(entry) and not location.is_absolute() and ".." not in location.parts
    return is_plain and target.is_relative_to(home)


def inline_small_values(model: ModelProto, folder: Path) -> None:
    """Read small external values into the model; those without a file remain unknown.

    The locations must have been checked by `check_external_data`.
    """
    for tensor in external_tensors(model):
        small = math.prod(tensor.dims) <= KEPT_ELEMENTS and all(dim >= 0 for dim in tensor.dims)
        if not small or tensor.data_type == TensorProto.STRING:
            continue
        size = math.ceil(math.prod(tensor.dims) * item_bytes(tensor.data_type))
        entries = _external_entries(tensor)
        data = _read_range(folder / entries["location"], entries.get("offset", "0"), size)
        if len(data) == size:
            tensor.raw_data = data
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]


def external_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Weights and constants whose values are stored outside the model's file."""
    for graph in graphs(model.graph):
        for tensor in constant_tensors(graph):
            if tensor.data_location == TensorProto.EXTERNAL:
                yield tensor


def _external_entries(tensor: TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _read_range(path: Path, offset: str, size: int) -> bytes:
    """A range of a regular file; shorter if the file ends before, empty if it is unreadable."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            file.seek(int(offset))
            return file.read(size)
    except (OSError, OverflowError, TypeError, ValueError):  # such as an offset of 2^63
        return b""
