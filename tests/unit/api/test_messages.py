"""Termination messages of model readers and runners."""

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
    features = read_model(MODELS / f"{name}.onnx")

    message = messages.pack_features(features)
    unpacked = messages.unpack_features(message, FEATURE_NAMES)

    assert len(message) < 0.7 * messages.MAX_MESSAGE_BYTES
    assert unpacked is not None
    assert unpacked.values == pytest.approx(features.values, rel=1e-6)
    assert (unpacked.operators, unpacked.labels) == (features.operators, features.labels)


def test_an_invalid_model_keeps_its_reason_in_the_message() -> None:
    message = messages.pack_error(InvalidModel("DigestMismatch", "the digest differs"))

    with pytest.raises(InvalidModel, match="the digest differs") as caught:
        messages.unpack_features(message, ())

    assert caught.value.reason == "DigestMismatch"


def test_a_temporary_failure_keeps_its_type_in_the_message() -> None:
    with pytest.raises(Unavailable, match="the store is down"):
        messages.unpack_features(messages.pack_error(Unavailable("the store is down")), ())


@pytest.mark.parametrize("message", ["", "Traceback ...", "OOM", "c$@", "0" * 4096])
def test_an_unknown_termination_message_has_no_features(message: str) -> None:
    assert messages.unpack_features(message, ()) is None


VALID = {
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
        {"values": {"unheard-of": 1.0}},
        {"operators": {"q" * 101: 1}},
        {"operators": {"\x1b[2J": 1}},
        {"operators": {f"Kind{i}": 1 for i in range(2_000)}},
        {"labels": {"": 1}},
    ],
    ids=lambda forged: str(forged)[:60],
)
def test_forged_features_are_ignored(forged: dict[str, Any]) -> None:
    names = ("work",)

    assert messages.unpack_features(messages._pack({"features": VALID}), names) is not None
    assert messages.unpack_features(messages._pack({"features": VALID | forged}), names) is None


def test_a_deeply_nested_message_is_ignored() -> None:
    text = b"[" * 100_000

    assert messages.unpack_features(base64.b85encode(zlib.compress(text)).decode(), ()) is None


def test_a_report_is_read_and_newer_fields_are_ignored() -> None:
    content = {"version": 1, "latency_median_s": 0.25, "latency_p90_s": 0.5, "from_the_future": 1}

    report = parse_report(json.dumps(content))

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
def test_an_unknown_termination_message_is_no_report(message: str) -> None:
    assert parse_report(message) is None


def test_the_state_of_the_runner_is_used_among_other_containers() -> None:
    pod = make_pod(terminated={"exitCode": 0, "message": "mine"})
    sidecar = {"name": "sidecar", "state": {"terminated": {"message": "not mine"}}}
    pod["status"]["containerStatuses"].insert(0, sidecar)

    assert terminated_state(pod)["message"] == "mine"


def test_without_a_runner_the_state_of_the_first_container_is_used() -> None:
    pod = make_pod(terminated={"exitCode": 3})
    pod["status"]["containerStatuses"][0]["name"] = "own"

    assert terminated_state(pod) == {"exitCode": 3}


def test_a_running_pod_has_no_terminated_state() -> None:
    assert terminated_state(make_pod()) == {}
