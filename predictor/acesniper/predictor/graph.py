"""From a file to a classified graph; runs in the child process."""

from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto
from onnx.inliner import inline_local_functions

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.onnx.bind import (
    believed,
    bind,
    check_external_data,
    stated,
    take_in_small_values,
)
from acesniper.predictor.onnx.graph import walk
from acesniper.predictor.onnx.op_class import Graph, classified


def load(path: Path, batch: int, shapes: Mapping[str, int]) -> Graph:
    """The classified graph of the model at `path`, its inputs bound. Raises InvalidModel."""
    model = parse(path)
    if model.functions:
        model = _inlined(model)
    check_external_data(model, path.parent)
    take_in_small_values(model, path.parent)
    declared = stated(model)
    sizes = bind(model, batch, shapes)
    walked = walk(model, believed(declared, sizes), shapes)
    return Graph(tuple(classified(walked.nodes)), walked.inputs, walked.outputs)


def parse(path: Path) -> ModelProto:
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
