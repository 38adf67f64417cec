"""Small ONNX files for tests."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.atlas.networks import archive, network_index
from acesniper.predictor.onnx.sandbox import extract_features

EXAMPLES = Path(__file__).parents[2] / "examples"
MODELS = EXAMPLES / "models"
DEVICES = EXAMPLES / "devices"

Dims = Sequence[int | str | None]


def make_model(
    nodes: Sequence[NodeProto],
    inputs: dict[str, Dims],
    outputs: Sequence[str] = ("y",),
    weights: dict[str, np.ndarray] | None = None,
    opset: int = 17,
) -> ModelProto:
    """A float32 model of the given nodes."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def linear_model(batch: int | str = "batch") -> ModelProto:
    """A dense layer of 8 to 4 features and a Relu."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["y"]),
    ]
    return make_model(nodes, {"x": [batch, 8]}, weights={"w": np.ones((8, 4), np.float32)})


def save(model: ModelProto, path: Path) -> Path:
    """Write a model and return its path."""
    path.write_bytes(model.SerializeToString())
    return path


def features_of(model: ModelProto, batch: int = 1, **shapes: int) -> ModelFeatures:
    """Features as the child process extracts them, but in this process, which is faster."""
    with TemporaryDirectory() as folder:
        return extract_features(save(model, Path(folder) / "m.onnx"), batch, shapes)


def shipped(name: str) -> ModelProto:
    """A network of the atlas, without its weights."""
    with zipfile.ZipFile(archive()) as content:
        data = content.read(network_index()[name]["file"])
    model: ModelProto = onnx.load_model_from_string(data)
    return model
