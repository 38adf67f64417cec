from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from acesniper.predictor.atlas.networks import network_index, pack, unpack
from acesniper.predictor.onnx.graph import parse_model
from acesniper.predictor.onnx.sandbox import read_model
from acesniper.predictor.onnx.strip_weights import draw_weights, strip_weights


def network(width: int = 64) -> onnx.ModelProto:
    weight = np.random.default_rng(0).standard_normal((width, width)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [16, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [16, width])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(weight[0], "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def values(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_a_stripped_graph_has_the_same_features(tmp_path: Path) -> None:
    whole, light = tmp_path / "whole.onnx", tmp_path / "light.onnx"
    onnx.save(network(), whole)
    light.write_bytes(strip_weights(network()).SerializeToString())

    assert light.stat().st_size < whole.stat().st_size / 10
    assert read_model(light) == read_model(whole)


def test_random_weights_are_reproducible_and_keep_activations_in_range() -> None:
    first, again = (
        values(draw_weights(strip_weights(network(512)))),
        values(draw_weights(strip_weights(network(512)))),
    )

    assert np.array_equal(first["w"], again["w"])
    signal = np.random.default_rng(1).standard_normal(512).astype(np.float32)
    assert 0.5 < float((signal @ first["w"]).std()) < 2.0


def test_small_tensors_keep_their_values() -> None:
    original = values(network())["b"]

    assert np.array_equal(values(draw_weights(strip_weights(network())))["b"], original)


def test_an_archive_survives_a_round_trip(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "one.onnx").write_bytes(strip_weights(network()).SerializeToString())
    (source / "one.json").write_text('{"family": "f", "flops": 1, "parameters": 2, "nodes": 3}')

    pack(source, tmp_path / "networks.zip")
    target = tmp_path / "target"
    target.mkdir()
    unpack(target, tmp_path / "networks.zip")

    assert (target / "one.onnx").read_bytes() == (source / "one.onnx").read_bytes()
    assert network_index(tmp_path / "networks.zip")["one"]["family"] == "f"


def test_the_shipped_atlas_covers_the_documented_families() -> None:
    families = {entry["family"] for entry in network_index().values()}

    assert len(network_index()) >= 150
    assert len(families) >= 45


@pytest.mark.parametrize("name", ["mobilenetv2_100", "bert_mini", "lstm_tagger", "unet_16"])
def test_shipped_networks_are_valid_onnx(name: str, tmp_path: Path) -> None:
    model = draw_weights(parse_model(unpack(tmp_path) / f"{name}.onnx"))

    onnx.checker.check_model(model, full_check=True)
