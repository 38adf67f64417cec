"""Load a model file for a runtime: verified, its inputs bound, its weights inside its folder."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import onnx

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.onnx.bind import (
    applicable_shapes,
    bind_inputs,
    check_external_data,
    external_tensors,
)
from acesniper.predictor.onnx.graph import parse_model
from acesniper.predictor.onnx.strip_weights import draw_weights


def verify(path: Path, sha256: str | None) -> str:
    """The SHA-256 of the file. Raises InvalidModel (NotFound, DigestMismatch)."""
    if not path.is_file():
        raise InvalidModel("NotFound", f"there is no file {path}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise InvalidModel("DigestMismatch", f"{path.name} has the SHA-256 {digest}, not {sha256}")
    return digest


def bound_model(
    path: Path,
    batch: int = 1,
    shapes: Mapping[str, int] | None = None,
    *,
    one_of_many: bool = False,
) -> bytes:
    """The model as bytes, ready for a runtime. Raises InvalidModel, as the graph reader does.

    With `one_of_many` sizes of dimensions that it does not have are for others.
    """
    if not path.is_file():
        raise InvalidModel("NotFound", f"there is no file {path}")
    model = parse_model(path)
    check_external_data(model, path.parent)
    bind_inputs(model, batch, applicable_shapes(model, shapes or {}) if one_of_many else shapes)
    draw_weights(model)
    if next(external_tensors(model), None) is not None:
        onnx.load_external_data_for_model(model, str(path.parent))
    data: bytes = model.SerializeToString()
    return data
