"""What a pod that reads a model says, and what the operator makes of it."""

from pathlib import Path

import pytest

from acesniper.api import reading
from acesniper.domain.errors import InvalidModel, Unavailable
from acesniper.predictor.features import FEATURE_NAMES
from acesniper.predictor.reader import read_model

MODELS = Path(__file__).parents[3] / "examples/models"


@pytest.mark.parametrize("name", ["densenet121", "efficientnet_b0"])
def test_a_large_graph_fits_into_a_termination_message(name: str) -> None:
    found = read_model(MODELS / f"{name}.onnx")

    message = reading.answer(found)
    told = reading.features(message, FEATURE_NAMES)

    assert len(message) < 0.7 * reading.MOST_BYTES
    assert told is not None
    assert told.values == pytest.approx(found.values, rel=1e-6)
    assert (told.operators, told.labels) == (found.operators, found.labels)


def test_a_model_that_cannot_be_used_is_told_with_its_reason() -> None:
    message = reading.refusal(InvalidModel("DigestMismatch", "it has another"))

    with pytest.raises(InvalidModel, match="it has another") as caught:
        reading.features(message, ())

    assert caught.value.reason == "DigestMismatch"


def test_a_model_that_cannot_be_had_now_may_be_later() -> None:
    with pytest.raises(Unavailable, match="away"):
        reading.features(reading.refusal(Unavailable("away")), ())


@pytest.mark.parametrize("message", ["", "Traceback ...", "OOM", "c$@", "0" * 4096])
def test_last_words_of_another_kind_are_no_answer(message: str) -> None:
    assert reading.features(message, ()) is None
