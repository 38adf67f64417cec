"""What a pod that reads a model says, and what the operator makes of it."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from acesniper.api import messages
from acesniper.api.messages import parse_report, terminated_state
from acesniper.domain.errors import InvalidModel, Unavailable
from acesniper.predictor.features import FEATURE_NAMES
from acesniper.predictor.onnx.sandbox import read_model
from builders import make_pod

MODELS = Path(__file__).parents[3] / "examples/models"


@pytest.mark.parametrize("name", ["densenet121", "efficientnet_b0"])
def test_a_large_graph_fits_into_a_termination_message(name: str) -> None:
    found = read_model(MODELS / f"{name}.onnx")

    message = messages.pack_features(found)
    told = messages.unpack_features(message, FEATURE_NAMES)

    assert len(message) < 0.7 * messages.MAX_MESSAGE_BYTES
    assert told is not None
    assert told.values == pytest.approx(found.values, rel=1e-6)
    assert (told.operators, told.labels) == (found.operators, found.labels)


def test_a_model_that_cannot_be_used_is_told_with_its_reason() -> None:
    message = messages.pack_error(InvalidModel("DigestMismatch", "it has another"))

    with pytest.raises(InvalidModel, match="it has another") as caught:
        messages.unpack_features(message, ())

    assert caught.value.reason == "DigestMismatch"


def test_a_model_that_cannot_be_had_now_may_be_later() -> None:
    with pytest.raises(Unavailable, match="away"):
        messages.unpack_features(messages.pack_error(Unavailable("away")), ())


@pytest.mark.parametrize("message", ["", "Traceback ...", "OOM", "c$@", "0" * 4096])
def test_last_words_of_another_kind_are_no_answer(message: str) -> None:
    assert messages.unpack_features(message, ()) is None


HONEST = {
    "version": "1",
    "values": {},
    "flops": 1e9,
    "bytes_moved": 1e8,
    "parameters": 7,
    "peak_memory_bytes": 7,
    "operators": {"Conv": 3},
    "similar": {},
    "labels": {},
}


@pytest.mark.parametrize(
    "forged",
    [
        {"values": {"work": float("nan")}},
        {"values": {"work": 1e300}},
        {"values": {"work": -1.0}},
        {"values": []},
        {"flops": float("inf")},
        {"flops": "many"},
        {"parameters": 10**40},
        {"labels": {"x": -5}},
        {"similar": {"resnet18": 1e300}},
        {"version": None},
    ],
    ids=str,
)
def test_who_may_make_pods_may_not_make_up_features(forged: dict[str, Any]) -> None:
    names = ("work",)

    assert messages.unpack_features(messages._pack({"features": HONEST}), names) is not None
    assert messages.unpack_features(messages._pack({"features": HONEST | forged}), names) is None


def test_a_message_that_nests_too_deeply_is_no_answer() -> None:
    text = b"[" * 100_000

    assert messages.unpack_features(base64.b85encode(zlib.compress(text)).decode(), ()) is None


def test_a_report_is_read_and_newer_fields_are_ignored() -> None:
    said = {"version": 1, "latency_median_s": 0.25, "latency_p90_s": 0.5, "from_the_future": 1}

    report = parse_report(json.dumps(said))

    assert report is not None
    assert (report.latency_median_s, report.latency_p90_s) == (0.25, 0.5)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "done",
        "[1]",
        '{"version": 2}',
        '{"latency_median_s": 0}',
        '{"latency_median_s": "fast"}',
        '{"latency_median_s": 1e999}',
        '{"latency_median_s": 1e300}',
        '{"latency_median_s": 1e-300}',
        '{"load_s": -1}',
        '{"inferences": 10000000000000000000000}',
        '{"fetch_s": 1e300}',
    ],
)
def test_the_last_words_of_another_container_are_no_report(message: str) -> None:
    assert parse_report(message) is None


def test_the_runner_is_heard_among_other_containers() -> None:
    pod = make_pod(terminated={"exitCode": 0, "message": "mine"})
    sidecar = {"name": "sidecar", "state": {"terminated": {"message": "not mine"}}}
    pod["status"]["containerStatuses"].insert(0, sidecar)

    assert terminated_state(pod)["message"] == "mine"


def test_without_a_runner_the_first_container_is_heard() -> None:
    pod = make_pod(terminated={"exitCode": 3})
    pod["status"]["containerStatuses"][0]["name"] = "own"

    assert terminated_state(pod) == {"exitCode": 3}


def test_a_pod_that_still_runs_has_said_nothing() -> None:
    assert terminated_state(make_pod()) == {}
