import datetime

import pytest

from acesniper.testbed.kwok import EXIT_CODE, FINISH_AT, MESSAGE, finish_annotations, make_node


def test_the_finish_time_is_in_utc_with_a_fraction() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    at = datetime.datetime(2030, 1, 2, 3, 4, 5, 678900, tzinfo=zone)

    annotations = finish_annotations(at, message="{}")

    assert annotations == {FINISH_AT: "2030-01-02T01:04:05.678900Z", MESSAGE: "{}", EXIT_CODE: "0"}


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        finish_annotations(datetime.datetime(2030, 1, 2))


def test_a_node_has_the_given_labels_and_resources() -> None:
    node = make_node("n1", cpu="2", labels={"zone": "a"}, extended={"acesniper.io/slot": "1"})

    assert node["metadata"]["annotations"] == {"kwok.x-k8s.io/node": "fake"}
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"
    assert node["metadata"]["labels"]["zone"] == "a"
    assert node["status"]["allocatable"] == node["status"]["capacity"]
    assert node["status"]["allocatable"]["acesniper.io/slot"] == "1"
