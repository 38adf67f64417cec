import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from acesniper.domain.errors import InvalidModel
from acesniper.predictor.features import FEATURE_NAMES, FEATURES_VERSION
from acesniper.predictor.onnx.sandbox import (
    DEFAULT_LIMITS,
    ReadLimits,
    container_limits,
    read_model,
)
from small_models import Dims, features_of, linear_model, make_model, save


def refusal(
    path: Path,
    batch: int = 1,
    shapes: Mapping[str, int] | None = None,
    limits: ReadLimits = DEFAULT_LIMITS,
) -> InvalidModel:
    with pytest.raises(InvalidModel) as caught:
        read_model(path, batch=batch, shapes=shapes, limits=limits)
    return caught.value


def test_a_dense_layer_counts_its_products_and_weights(tmp_path: Path) -> None:
    features = read_model(save(linear_model(), tmp_path / "m.onnx"), batch=16)

    assert features.version == FEATURES_VERSION
    assert tuple(features.values) == FEATURE_NAMES
    assert features.values["matmul.flops"] == features.flops == 2 * 16 * 8 * 4
    assert features.values["matmul.bytes"] == 4 * (16 * 8 + 8 * 4 + 16 * 4)
    assert features.values["fused.nodes"] == 1
    assert features.parameters == 32
    assert features.operators == {"MatMul": 1, "Relu": 1}


def test_random_bytes_are_not_onnx(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"this is a picture of a cat")

    assert refusal(path).reason == "NotOnnx"


@pytest.mark.parametrize("content", [b"", b"\x08\x08"], ids=["empty", "no graph"])
def test_a_file_without_a_graph_is_not_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)

    assert refusal(path).reason == "NotOnnx"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path / "m.onnx")

    assert error.reason == "NotFound"
    assert "m.onnx" in str(error)


def test_a_file_over_the_limit_is_too_large(tmp_path: Path) -> None:
    path = save(linear_model(), tmp_path / "m.onnx")

    assert refusal(path, limits=ReadLimits(file_bytes=10)).reason == "TooLarge"


def test_a_slow_read_times_out(tmp_path: Path) -> None:
    path = save(linear_model(), tmp_path / "m.onnx")

    assert refusal(path, limits=ReadLimits(wall_s=0.01)).reason == "TimedOut"


def test_a_read_that_needs_too_much_memory_is_stopped(tmp_path: Path) -> None:
    bomb = make_model(
        [
            helper.make_node("ConstantOfShape", ["dims"], ["big"]),
            helper.make_node("NonZero", ["big"], ["where"]),
            helper.make_node("Reshape", ["x", "where"], ["y"]),
        ],
        {"x": [4]},
        weights={"dims": np.asarray([1 << 30], np.int64), "pad": np.ones(1 << 24, np.float32)},
    )
    path = save(bomb, tmp_path / "m.onnx")

    assert refusal(path, limits=ReadLimits(memory_bytes=200 << 20)).reason == "OutOfMemory"


def test_an_absurdly_large_tensor_is_rejected(tmp_path: Path) -> None:
    model = make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 1 << 40, 1 << 20]})

    assert refusal(save(model, tmp_path / "m.onnx")).reason == "TooLarge"


def test_an_unbound_dimension_is_named_with_the_fix(tmp_path: Path) -> None:
    model = make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": ["batch", "length", 8]})
    path = save(model, tmp_path / "m.onnx")

    error = refusal(path)

    assert error.reason == "UnboundDimension"
    assert "'length'" in str(error)
    assert "--shape length=SIZE" in str(error)
    assert read_model(path, shapes={"length": 5}).values["elementwise.bytes"] == 2 * 4 * 5 * 8


def test_a_size_for_an_unknown_dimension_is_rejected(tmp_path: Path) -> None:
    model = make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": ["batch", "length", 8]})

    error = refusal(save(model, tmp_path / "m.onnx"), shapes={"lenght": 5})

    assert error.reason == "BadShape"
    assert "'lenght'" in str(error)
    assert "symbolic dimensions: batch, length" in str(error)


def test_a_dimension_without_a_name_is_bound_by_its_axis(tmp_path: Path) -> None:
    model = make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": [None, None, 8]})
    path = save(model, tmp_path / "m.onnx")

    assert "x:1" in str(refusal(path))
    assert read_model(path, shapes={"x:1": 5}).values["elementwise.nodes"] == 1


def test_a_key_cache_may_be_empty() -> None:
    nodes = [
        helper.make_node("Concat", ["past", "x"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "w"], ["y"]),
    ]
    inputs: dict[str, Dims] = {"past": ["batch", "steps", 8], "x": ["batch", 4, 8]}
    model = make_model(nodes, inputs, weights={"w": np.ones((8, 16), np.float32)})

    assert features_of(model, 2, steps=0).flops == 2 * 2 * 4 * 8 * 16
    with pytest.raises(InvalidModel, match="sizes at least 0"):
        features_of(model, 2, steps=-1)


def test_a_batch_other_than_the_fixed_one_is_rejected(tmp_path: Path) -> None:
    path = save(linear_model(batch=1), tmp_path / "m.onnx")

    assert refusal(path, batch=2).reason == "FixedBatch"
    assert read_model(path).flops > 0


def test_contradictory_shapes_are_rejected(tmp_path: Path) -> None:
    model = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": [1, 7]},
        weights={"w": np.ones((8, 4), np.float32)},
    )

    assert refusal(save(model, tmp_path / "m.onnx")).reason == "ShapeInferenceFailed"


def test_data_dependent_shapes_are_rejected_before_heavy_work(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Cast", ["where"], ["found"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["found"], ["turned"]),
        helper.make_node("MatMul", ["turned", "w"], ["y"]),
    ]
    model = make_model(nodes, {"x": [4, 4]}, weights={"w": np.ones((2, 4), np.float32)})

    assert refusal(save(model, tmp_path / "m.onnx")).reason == "ShapeInferenceFailed"


def test_arithmetic_on_shapes_is_folded(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["dims"]),
        helper.make_node("Gather", ["dims", "first"], ["n"], axis=0),
        helper.make_node("Mul", ["n", "two"], ["doubled"]),
        helper.make_node("Concat", ["doubled", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    weights: dict[str, np.ndarray] = {
        "first": np.asarray([0], np.int64),
        "two": np.asarray([2], np.int64),
        "rest": np.asarray([4], np.int64),
        "w": np.ones((4, 3), np.float32),
    }
    path = save(make_model(nodes, {"x": ["batch", 8]}, weights=weights), tmp_path / "m.onnx")

    assert read_model(path, batch=10).flops == 2 * 20 * 4 * 3


def test_a_custom_operator_is_counted_and_reported(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Magic", ["h"], ["m"], domain="example.org"),
        helper.make_node("Relu", ["m"], ["y"]),
    ]
    model = make_model(nodes, {"x": [16, 8]}, weights={"w": np.ones((8, 4), np.float32)})
    model.opset_import.append(helper.make_opsetid("example.org", 1))

    features = read_model(save(model, tmp_path / "m.onnx"))

    assert features.values["unknown.nodes"] == 1
    assert features.values["unshaped.nodes"] == 2
    assert features.operators["custom:Magic"] == 1


def test_a_loop_body_counts_once_per_trip(tmp_path: Path) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["state", "w"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [16, 4]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [16, 4]),
        ],
    )
    loop = helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)
    weights: dict[str, np.ndarray] = {
        "trips": np.asarray(5, np.int64),
        "w": np.ones((4, 4), np.float32),
    }

    features = read_model(
        save(make_model([loop], {"x": [16, 4]}, weights=weights), tmp_path / "m.onnx")
    )

    assert features.values["matmul.nodes"] == 5
    assert features.flops == 5 * 2 * 16 * 4 * 4


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret.bin", "link.bin"])
def test_weights_outside_the_folder_are_rejected(tmp_path: Path, location: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"0" * 128)
    (home / "link.bin").symlink_to(tmp_path / "secret.bin")
    model = linear_model()
    external = model.graph.initializer[0]
    external.ClearField("raw_data")
    external.data_location = TensorProto.EXTERNAL
    external.external_data.add(key="location", value=location)

    error = refusal(save(model, home / "m.onnx"))

    assert error.reason == "ExternalDataOutside"
    assert location in str(error)


def test_weights_in_the_folder_are_not_read(tmp_path: Path) -> None:
    model = linear_model()
    onnx.save_model(
        model, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="w.bin"
    )
    (tmp_path / "w.bin").unlink()

    assert read_model(tmp_path / "m.onnx", batch=16).parameters == 32


@pytest.mark.parametrize("together", [True, False], ids=["one file", "a file for each"])
def test_a_shape_in_external_data_is_read(tmp_path: Path, together: bool) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    weights = {"w": np.ones((4, 8), np.float32), "shape": np.asarray([-1, 4])}
    onnx.save_model(
        make_model(nodes, {"x": [2, 16]}, weights=weights),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        size_threshold=0,
        all_tensors_to_one_file=together,
        location="data" if together else None,
    )

    assert read_model(tmp_path / "m.onnx").flops == 2 * 8 * 4 * 8


def test_a_shape_beyond_the_end_of_its_file_is_unknown(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    weights = {"w": np.ones((4, 8), np.float32), "shape": np.asarray([-1, 4])}
    model = make_model(nodes, {"x": [2, 16]}, weights=weights)
    external = next(tensor for tensor in model.graph.initializer if tensor.name == "shape")
    external.ClearField("raw_data")
    external.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "data"), ("offset", "8"), ("length", "16")):
        external.external_data.add(key=key, value=value)
    (tmp_path / "data").write_bytes(bytes(20))

    assert refusal(save(model, tmp_path / "m.onnx")).reason == "ShapeInferenceFailed"


def test_the_child_process_has_an_empty_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnx.py").write_text("raise SystemExit('taken over')")
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert read_model(save(linear_model(), tmp_path / "m.onnx")).flops > 0


def test_the_memory_of_the_container_limits_the_reader() -> None:
    assert container_limits(available=lambda: 200 << 20) == ReadLimits(memory_bytes=200 << 20)
    assert container_limits(available=lambda: 64 << 30) == ReadLimits()
    assert container_limits(available=lambda: None) == ReadLimits()
