import hashlib
import json

import pytest

from acesniper.predictor.onnx.sandbox import read_model
from small_models import MODELS

INDEX = json.loads((MODELS / "index.json").read_text())
PUBLISHED = {name: entry for name, entry in INDEX.items() if entry["published_mmacs"]}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_arithmetic_of_a_known_network_matches_its_publication(name: str) -> None:
    features = read_model(MODELS / PUBLISHED[name]["file"])

    assert features.flops / 2e6 == pytest.approx(PUBLISHED[name]["published_mmacs"], rel=0.02)


@pytest.mark.parametrize("name", [name for name in INDEX if name not in PUBLISHED])
def test_other_examples_are_read_without_unknown_operators(name: str) -> None:
    features = read_model(MODELS / INDEX[name]["file"], shapes=INDEX[name]["shapes"])

    assert features.values["unknown.nodes"] == features.values["unshaped.nodes"] == 0
    assert features.distance < 0.5


def test_the_transformer_matches_its_formula() -> None:
    width, layers, tokens = 384, 6, 128

    features = read_model(MODELS / "minilm.onnx")

    macs = layers * (12 * width * width * tokens + 2 * tokens * tokens * width)
    assert features.flops == pytest.approx(2 * macs, rel=0.01)


def test_arithmetic_grows_with_the_batch_and_parameters_do_not() -> None:
    one, four = (read_model(MODELS / "squeezenet1_1.onnx", batch=batch) for batch in (1, 4))

    assert four.flops == 4 * one.flops
    assert four.parameters == one.parameters


@pytest.mark.parametrize("name", INDEX)
def test_the_example_files_match_the_index_and_are_small(name: str) -> None:
    data = (MODELS / INDEX[name]["file"]).read_bytes()

    assert hashlib.sha256(data).hexdigest() == INDEX[name]["sha256"]
    assert len(data) < 200_000
