"""What onnxruntime makes of a model asks for the same arithmetic, in other operators."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.onnx.sandbox import extract_features
from acesniper.predictor.onnx.strip_weights import draw_weights
from small_models import features_of, save, shipped

KEYWORDS = "dscnn_64"
"""A small convolutional network."""

BERT = "bert_tiny"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The quantiser advises in warnings to the root logger."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def drawn(name: str, folder: Path) -> Path:
    return save(draw_weights(shipped(name)), folder / "m.onnx")


def optimised(path: Path, level: onnxruntime.GraphOptimizationLevel) -> ModelFeatures:
    target = path.with_suffix(".optimised.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return extract_features(target, 1, {})


class OneImage(CalibrationDataReader):  # type: ignore[misc]  # has no types
    """Calibration with one random input."""

    def __init__(self, path: Path) -> None:
        value = onnx.load(path).graph.input[0]
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        image = np.random.default_rng(0).random(shape, dtype=np.float32)
        self._left = iter([{value.name: image}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._left, None)


def quantised(path: Path, form: QuantFormat) -> Path:
    target = path.with_suffix(f".{form.name}.onnx")
    quantize_static(path, target, OneImage(path), quant_format=form, weight_type=QuantType.QInt8)
    return target


@pytest.mark.parametrize(
    ("name", "operator"),
    [
        pytest.param(KEYWORDS, "com.microsoft:FusedConv", id="convolutions"),
        pytest.param(BERT, "com.microsoft:SkipLayerNormalization", id="transformer"),
    ],
)
def test_fused_operators_keep_the_arithmetic_and_move_less(
    name: str, operator: str, tmp_path: Path
) -> None:
    plain = features_of(shipped(name))

    fused = optimised(drawn(name, tmp_path), onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)

    assert operator in fused.operators
    assert fused.flops == plain.flops
    assert fused.bytes_moved < plain.bytes_moved
    assert fused.values["unknown.nodes"] == fused.values["unshaped.nodes"] == 0


def test_blocked_layouts_are_supported(tmp_path: Path) -> None:
    plain = features_of(shipped(KEYWORDS))

    blocked = optimised(
        drawn(KEYWORDS, tmp_path), onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    )

    assert blocked.flops == pytest.approx(plain.flops, rel=0.05)  # channels are padded
    assert blocked.values["unknown.nodes"] == blocked.values["unshaped.nodes"] == 0


@pytest.mark.parametrize("form", list(QuantFormat), ids=lambda form: form.name)
def test_static_quantisation_keeps_the_arithmetic_and_quarters_the_weights(
    form: QuantFormat, tmp_path: Path
) -> None:
    plain = features_of(shipped(KEYWORDS))

    narrow = extract_features(quantised(drawn(KEYWORDS, tmp_path), form), 1, {})

    assert narrow.flops == plain.flops
    assert narrow.values["flops_by_type.int8"] == plain.values["flops_by_type.float"]
    assert narrow.values["weights.bytes"] < 0.4 * plain.values["weights.bytes"]
    assert narrow.bytes_moved < 0.5 * plain.bytes_moved
    assert narrow.parameters == pytest.approx(plain.parameters, rel=0.1)


@pytest.mark.parametrize("name", [KEYWORDS, BERT, "lstm_tagger"])
def test_dynamic_quantisation_keeps_the_arithmetic(name: str, tmp_path: Path) -> None:
    path = drawn(name, tmp_path)
    quantize_dynamic(path, tmp_path / "dynamic.onnx")

    narrow = extract_features(tmp_path / "dynamic.onnx", 1, {})

    assert narrow.flops == features_of(shipped(name)).flops
    assert narrow.values["flops_by_type.int8"] > 0.5 * narrow.flops
    assert narrow.values["unknown.nodes"] == narrow.values["unshaped.nodes"] == 0
