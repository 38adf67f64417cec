import logging

import pytest

from acesniper.api.names import EVENTS
from acesniper.api.reasons import Notice, Reason
from acesniper.domain.backoff import TokenBucket
from acesniper.domain.errors import Forbidden, NamespaceTerminating
from acesniper.runtime.events import MAX_MESSAGE_CHARS, EventRecorder, to_event
from builders import make_itask
from fake_cluster import Call, FakeCluster

METADATA = make_itask("t", "ns")["metadata"]


async def tell(cluster: FakeCluster, *notices: Notice) -> list[str]:
    recorder = EventRecorder(cluster, "test")
    for now_s, notice in enumerate(notices):
        await recorder.record("InferenceTask", METADATA, notice, float(now_s))
    return [each["message"] for each in cluster.all(EVENTS, "ns")]


def test_an_event_points_at_its_object() -> None:
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


def test_a_warning_is_a_warning() -> None:
    assert (
        to_event("Pod", METADATA, Notice(Reason.NO_PREDICTION, "x", warning=True), 0.0, "t")["type"]
        == "Warning"
    )


def test_a_long_message_is_cut_to_what_the_api_server_takes() -> None:
    made = to_event("Pod", METADATA, Notice(Reason.NO_PREDICTION, "x" * 5000), 0.0, "t")

    assert len(made["message"]) == MAX_MESSAGE_CHARS


async def test_the_same_notice_is_told_once() -> None:
    said = Notice(Reason.PLACED, "on n1")

    told = await tell(FakeCluster(), said, said, Notice(Reason.PLACED, "on n2"))

    assert sorted(told) == ["on n1", "on n2"]


async def test_what_cannot_be_told_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    cluster = FakeCluster()

    def forbid(call: Call) -> None:
        raise Forbidden(f"{call.verb} is not for you")

    cluster.before = forbid
    with caplog.at_level(logging.WARNING):
        await tell(cluster, Notice(Reason.PLACED, "on n1"))

    assert "event Placed not sent: create is not for you" in caplog.text


async def test_in_a_namespace_that_goes_nothing_is_told_and_nothing_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = FakeCluster()

    def forbid(call: Call) -> None:
        raise NamespaceTerminating("it is being terminated")

    cluster.before = forbid
    with caplog.at_level(logging.DEBUG):
        await tell(cluster, Notice(Reason.PLACED, "on n1"))

    assert caplog.text == ""


async def test_a_burst_is_told_in_part_but_for_its_warnings() -> None:
    cluster = FakeCluster()
    recorder = EventRecorder(cluster, "test", TokenBucket(burst=2, per_s=1))

    for number in range(5):
        said = (
            Notice(Reason.PLACED, f"on n{number}"),
            Notice(Reason.POD_LOST, f"n{number}", warning=True),
        )
        for notice in said:
            await recorder.record("InferenceTask", METADATA, notice, 0.0)

    told = [each["reason"] for each in cluster.all(EVENTS, "ns")]
    assert (told.count("Placed"), told.count("PodLost")) == (2, 5)


@pytest.mark.parametrize(
    ("later_s", "taken"),
    [
        pytest.param(0.5, 0, id="half a one is none"),
        pytest.param(3.0, 3, id="one a second"),
        pytest.param(1e6, 4, id="never more than at once"),
        pytest.param(-1e6, 0, id="a clock that was set back"),
    ],
)
def test_a_token_bucket_refills_with_time(later_s: float, taken: int) -> None:
    bucket = TokenBucket(burst=4, per_s=1)
    assert [bucket.take(0.0) for _ in range(5)] == [True] * 4 + [False]

    assert sum(bucket.take(later_s) for _ in range(6)) == taken
