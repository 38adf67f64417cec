"""Values that lie in files beside the model.

Weights stay where they are. Only small values are taken in, because shapes may depend on them, and
some exporters put every tensor outside.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from onnx import ModelProto, TensorProto

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.onnx.node import KEPT_ELEMENTS, graphs, held_tensors, item_bytes


def check_external_data(model: ModelProto, folder: Path) -> None:
    """Refuse values that lie outside the model's folder; none is opened."""
    home = folder.resolve()
    for tensor in external_tensors(model):
        entry = _entries(tensor).get("location", "")
        location = Path(entry)
        inside = (home / location).resolve().is_relative_to(home)
        if not entry or location.is_absolute() or ".." in location.parts or not inside:
            raise InvalidModel(
                "ExternalDataOutside",
                f"weights of {tensor.name!r} lie at {entry!r}, outside the model's folder",
            )


def take_in_small_values(model: ModelProto, folder: Path) -> None:
    """Read small values from files in the folder, in place; one without its file stays unknown.

    The locations must have been checked.
    """
    for tensor in external_tensors(model):
        small = math.prod(tensor.dims) <= KEPT_ELEMENTS and all(dim >= 0 for dim in tensor.dims)
        if not small or tensor.data_type == TensorProto.STRING:
            continue
        size = math.ceil(math.prod(tensor.dims) * item_bytes(tensor.data_type))
        entries = _entries(tensor)
        offset, file = entries.get("offset", "0"), folder / entries["location"]
        found = _part(file, int(offset), size) if offset.isdecimal() else b""
        if len(found) == size:
            tensor.raw_data = found
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]


def external_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """The weights and constants whose values lie outside of the model's file."""
    for graph in graphs(model.graph):
        for tensor in held_tensors(graph):
            if tensor.data_location == TensorProto.EXTERNAL:
                yield tensor


def _entries(tensor: TensorProto) -> dict[str, str]:
    return {each.key: each.value for each in tensor.external_data}


def _part(path: Path, offset: int, size: int) -> bytes:
    """A piece of a plain file; less where it ends before, nothing where it cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except (OSError, OverflowError):
        return b""
