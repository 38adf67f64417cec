import logging
import re

import pytest

from acesniper.api.names import EVENTS
from acesniper.api.reasons import Notice, Reason
from acesniper.domain.backoff import TokenBucket
from acesniper.domain.errors import Forbidden, NamespaceTerminating
from acesniper.domain.foreign_text import MAX_MESSAGE_CHARS
from acesniper.runtime.events import EventRecorder, to_event
from builders import make_itask
from fake_cluster import Call, FakeCluster

METADATA = make_itask("t", "ns")["metadata"]


async def record(cluster: FakeCluster, *notices: Notice) -> list[str]:
    recorder = EventRecorder(cluster, "test")
    for now_s, notice in enumerate(notices):
        await recorder.record("InferenceTask", METADATA, notice, float(now_s))
    return [event["message"] for event in cluster.all(EVENTS, "ns")]


def test_an_event_refers_to_its_object() -> None:
    made = to_event("InferenceTask", METADATA, Notice(Reason.PLACED, "on n1"), 1.9, "operator")

    assert made["involvedObject"] == {
        "apiVersion": "acesniper.io/v1alpha1",
        "kind": "InferenceTask",
        "name": "t",
        "namespace": "ns",
        "uid": "uid-ns-t",
    }
    assert (made["reason"], made["message"], made["type"]) == ("Placed", "on n1", "Normal")
    assert made["lastTimestamp"] == "1970-01-01T00:00:01Z"


def test_a_warning_notice_becomes_a_warning_event() -> None:
    assert (
        to_event("Pod", METADATA, Notice(Reason.NO_PREDICTION, "x", warning=True), 0.0, "t")["type"]
        == "Warning"
    )


def test_a_long_message_is_truncated_to_the_api_server_limit() -> None:
    made = to_event("Pod", METADATA, Notice(Reason.NO_PREDICTION, "x" * 5000), 0.0, "t")

    assert len(made["message"]) == MAX_MESSAGE_CHARS


def test_the_name_of_an_event_fits_whatever_the_name_of_its_object() -> None:
    metadata = make_itask("a." * 126 + "b", "ns")["metadata"]

    name = to_event("Pod", metadata, Notice(Reason.NO_PREDICTION, "x"), 0.0, "t")["metadata"][
        "name"
    ]

    assert len(name) <= 253
    assert re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*", name)


async def test_a_repeated_notice_is_recorded_once() -> None:
    notice = Notice(Reason.PLACED, "on n1")

    recorded = await record(FakeCluster(), notice, notice, Notice(Reason.PLACED, "on n2"))

    assert sorted(recorded) == ["on n1", "on n2"]


async def test_an_event_that_cannot_be_sent_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    cluster = FakeCluster()

    def forbid(call: Call) -> None:
        raise Forbidden(f"{call.verb} is not for you")

    cluster.before = forbid
    with caplog.at_level(logging.WARNING):
        await record(cluster, Notice(Reason.PLACED, "on n1"))

    assert "event Placed not sent: create is not for you" in caplog.text


async def test_a_terminating_namespace_gets_no_events_and_no_log_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = FakeCluster()

    def forbid(call: Call) -> None:
        raise NamespaceTerminating("it is being terminated")

    cluster.before = forbid
    with caplog.at_level(logging.DEBUG):
        await record(cluster, Notice(Reason.PLACED, "on n1"))

    assert caplog.text == ""


async def test_the_rate_limit_drops_normal_events_but_no_warnings() -> None:
    cluster = FakeCluster()
    recorder = EventRecorder(cluster, "test", TokenBucket(burst=2, per_s=1))

    for number in range(5):
        notices = (
            Notice(Reason.PLACED, f"on n{number}"),
            Notice(Reason.POD_LOST, f"n{number}", warning=True),
        )
        for notice in notices:
            await recorder.record("InferenceTask", METADATA, notice, 0.0)

    reasons = [event["reason"] for event in cluster.all(EVENTS, "ns")]
    assert (reasons.count("Placed"), reasons.count("PodLost")) == (2, 5)
