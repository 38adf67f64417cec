"""Loading of a model file for a runtime: digest, external weights and input sizes checked."""

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
    """SHA-256 of the file. Raises InvalidModel (NotFound, DigestMismatch)."""
    if not path.is_file():
        raise InvalidModel("NotFound", f"file {path} does not exist")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise InvalidModel("DigestMismatch", f"{path.name} has SHA-256 {digest}, expected {sha256}")
    return digest


def bound_model(
    path: Path,
    batch: int = 1,
    shapes: Mapping[str, int] | None = None,
    *,
    one_of_many: bool = False,
) -> bytes:
    """Serialised model with bound inputs, ready for a runtime. Raises InvalidModel.

    With `one_of_many`, entries of `shapes` for dimensions that the model lacks are ignored.
    """
    if not path.is_file():
        raise InvalidModel("NotFound", f"file {path} does not exist")
    model = parse_model(path)
    check_external_data(model, path.parent)
    bind_inputs(model, batch, applicable_shapes(model, shapes or {}) if one_of_many else shapes)
    draw_weights(model)
    if next(external_tensors(model), None) is not None:
        onnx.load_external_data_for_model(model, str(path.parent))
    data: bytes = model.SerializeToString()
    return data
