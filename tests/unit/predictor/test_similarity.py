"""What the known networks are, and how far a model is from them."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.atlas.networks import build_library, network_index
from acesniper.predictor.features import FEATURE_NAMES, FEATURES_VERSION, SPREADS
from acesniper.predictor.onnx.feature_extraction import MAX_LABELS
from acesniper.predictor.similarity import (
    DISTANCE_WORDS,
    FOREIGN,
    LIBRARY_FILE,
    distance_word,
    known_networks,
    likeness,
    nearest,
    structure,
)
from small_models import features_of, linear_model, make_model, save, shipped


def test_the_library_equals_the_atlas_as_read_now() -> None:
    name = "squeezenet1_1"
    read_now = features_of(shipped(name))

    assert set(known_networks()) == set(network_index())
    assert known_networks()[name].labels == read_now.labels
    assert known_networks()[name].values == {
        feature: pytest.approx(value, rel=1e-3)
        for feature, value in read_now.values.items()
        if value
    }


def test_the_library_stays_small() -> None:
    assert len((files("acesniper.predictor") / LIBRARY_FILE).read_bytes()) < 1_000_000


@pytest.mark.parametrize("name", ["squeezenet1_1", "bert_tiny", "lstm_tagger", "unet_16"])
def test_a_known_network_is_recognised(name: str) -> None:
    result = features_of(shipped(name))

    assert next(iter(result.similar.items())) == (name, 1.0)
    assert result.distance == 0.0
    assert list(result.similar.values()) == sorted(result.similar.values(), reverse=True)


def test_another_size_of_a_known_network_is_near() -> None:
    small, large = (features_of(shipped(name)) for name in ("resnet18", "resnet34"))
    other = features_of(shipped("vit_tiny_patch16_224"))

    (near, far) = likeness([small], [large, other])[0]

    assert near > 0.6 > 0.3 > far


def strange_model() -> ModelProto:
    """A chain that no network of the atlas has."""
    nodes = [
        helper.make_node("TopK", ["x", "k"], ["v0", "i0"]),
        *(
            helper.make_node("CumSum", [f"v{i}", "axis"], [f"v{i + 1}"])
            if i % 2
            else helper.make_node("Softmax", [f"v{i}"], [f"v{i + 1}"])
            for i in range(8)
        ),
    ]
    weights = {"k": np.asarray([4]), "axis": np.asarray(1)}
    return make_model(nodes, {"x": [16, 64]}, ["v8"], weights=weights)


def test_a_dissimilar_model_is_far_from_every_network() -> None:
    result = features_of(strange_model())

    assert result.distance > DISTANCE_WORDS[-1][0]
    assert distance_word(result.distance) == FOREIGN


def test_labels_follow_the_distance() -> None:
    words = [distance_word(distance) for distance in np.linspace(0, 1, 101)]

    assert list(dict.fromkeys(words)) == [*(word for _, word in DISTANCE_WORDS), FOREIGN]


def test_the_batch_hardly_changes_the_distance() -> None:
    one, many = (features_of(linear_model(), batch=batch) for batch in (16, 64))

    assert one.labels == many.labels
    assert likeness([one], [many])[0, 0] > 0.8


def test_depth_alone_changes_little() -> None:
    histogram = {"0:conv": 4, "1:a": 3, "1:b": 1}

    deeper = {label: 3 * count for label, count in histogram.items()}

    assert structure([histogram], [deeper, {"0:gemm": 1}, {}])[0] == pytest.approx([1.0, 0.0, 0.0])


def test_labels_of_a_huge_graph_are_bounded() -> None:
    nodes = []
    for i in range(600):
        ops = [
            ("Softmax", "Transpose", "ReduceMax", "Relu")[(i >> shift) % 4]
            for shift in (0, 2, 4, 6)
        ]
        for j, op in enumerate(ops):
            source = "x" if j == 0 else f"n{i}_{j - 1}"
            nodes.append(helper.make_node(op, [source], [f"n{i}_{j}"]))
    result = features_of(make_model(nodes, {"x": [4, 4]}, ["n0_3"]))

    assert 0 < len(result.labels) <= MAX_LABELS


def test_a_library_is_built_from_any_folder(tmp_path: Path) -> None:
    save(linear_model(), tmp_path / "a.onnx")
    content = {"a": {"file": "a.onnx", "shapes": {"batch": 16}}}
    (tmp_path / "index.json").write_text(json.dumps(content))

    built = build_library(tmp_path)

    assert built["features_version"] == FEATURES_VERSION
    networks = built["networks"]
    assert isinstance(networks, dict)
    entry = ModelFeatures(FEATURES_VERSION, **networks["a"])
    assert likeness([entry], [features_of(linear_model(), batch=16)])[0, 0] == pytest.approx(1.0)


def test_nearest_names_only_similar_networks() -> None:
    assert all(score > 0 for score in nearest(features_of(linear_model())).values())


def test_feature_names_are_few_and_unique() -> None:
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) <= 250
    assert {name for spread in SPREADS for name in spread.features} <= set(FEATURE_NAMES)
