import json

import pytest

from acesniper.api.messages import parse_report, terminated_state
from builders import make_pod


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
