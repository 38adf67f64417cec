"""Who wrote a report, and whether it is possible."""

import json
from typing import Any

import pytest

from acesniper.api.messages import TaskReport
from acesniper.api.units import rfc3339
from acesniper.api.v1alpha1 import InferenceTask
from acesniper.operator.task.reports import possible_report, read_report, reporter
from builders import make_itask

IMAGE = "acesniper/runner:0.1.0"
DIGEST = "sha256:" + "a" * 64


def pod(
    image: str = IMAGE, ran: str | None = None, image_id: str = "", **container: object
) -> dict[str, Any]:
    runner = {"name": "runner", "image": image, "args": ["run"], **container}
    status = {"name": "runner", "image": image if ran is None else ran, "imageID": image_id}
    return {"spec": {"containers": [runner]}, "status": {"containerStatuses": [status]}}


def written_by(manifest: dict[str, Any], image: str = IMAGE, **spec: Any) -> str:  # noqa: ANN401 - any field of the spec
    return reporter(InferenceTask.model_validate(make_itask(**spec)), manifest, image)


@pytest.mark.parametrize(
    ("manifest", "image"),
    [
        (pod(), IMAGE),
        (pod(ran=f"docker.io/{IMAGE}"), IMAGE),
        (pod("runner", ran="docker.io/library/runner:latest"), "runner"),
        (pod("registry.local:5000/runner:1"), "registry.local:5000/runner:1"),
        (
            pod(f"r.example/runner@{DIGEST}", DIGEST, f"r.example/runner@{DIGEST}"),
            f"r.example/runner@{DIGEST}",
        ),
    ],
)
def test_the_runner_image_is_recognized_as_container_runtimes_report_it(
    manifest: dict[str, Any], image: str
) -> None:
    assert written_by(manifest, image) == "Runner"


@pytest.mark.parametrize(
    "manifest",
    [
        pod("evil.example/acesniper/runner:0.1.0"),
        pod(ran="evil.example/acesniper/runner:0.1.0"),
        pod(ran="docker.io/acesniper/runner:0.1.0-evil"),
        pod(ran=DIGEST),
        pod(command=["sh", "-c", "echo"]),
        {**pod(), "status": {}},
        {"spec": {"containers": []}, "status": {}},
        {**pod(), "spec": {**pod()["spec"], "ephemeralContainers": [{"name": "debugger"}]}},
    ],
)
def test_any_other_container_is_not_the_runner(manifest: dict[str, Any]) -> None:
    assert written_by(manifest) == "Container"


def test_a_template_is_not_the_runner_even_with_its_image() -> None:
    template = {"spec": {"containers": [{"name": "runner", "image": IMAGE}]}}

    assert written_by(pod(), template=template) == "Container"


def test_an_image_pinned_by_digest_is_not_recognized_by_its_name() -> None:
    pinned = f"acesniper/runner@{DIGEST}"

    assert written_by(pod(pinned, pinned, "docker.io/acesniper/runner@sha256:b"), pinned) == (
        "Container"
    )


def finished_pod(report: TaskReport, ran_s: float) -> dict[str, Any]:
    state = {
        "startedAt": rfc3339(1e9),
        "finishedAt": rfc3339(1e9 + ran_s),
        "message": json.dumps(report.model_dump()),
    }
    return {"status": {"containerStatuses": [{"name": "runner", "state": {"terminated": state}}]}}


@pytest.mark.parametrize(
    ("report", "possible"),
    [
        (TaskReport(inferences=10, latency_median_s=1.0, latency_p90_s=1.2), True),
        (TaskReport(inferences=100, latency_median_s=1.0), False),
        (TaskReport(inferences=1, latency_median_s=300.0), False),
        (TaskReport(inferences=0, latency_median_s=13.0), False),
        (TaskReport(inferences=100, latency_median_s=0.01, latency_p90_s=5.0), False),
        (TaskReport(inferences=1, latency_median_s=0.1, fetch_s=3600.0), False),
        (TaskReport(inferences=1, latency_median_s=0.1, fetch_s=4.0, load_s=4.0), True),
    ],
)
def test_times_longer_than_the_container_ran_are_impossible(
    report: TaskReport, possible: bool
) -> None:
    read = read_report(finished_pod(report, ran_s=10.0))

    assert read is not None
    assert (read.latency_median_s is not None) == possible
    assert read.inferences == report.inferences


@pytest.mark.parametrize("ran", ["registry.local/retagged:2", DIGEST])
def test_an_image_with_several_names_on_its_node_is_the_runner(ran: str) -> None:
    names = [
        f"docker.io/acesniper/runner@{DIGEST}",
        f"docker.io/{IMAGE}",
        "registry.local/retagged:2",
    ]
    node = {"status": {"images": [{"names": ["evil.example/x:1"]}, {"names": names}]}}
    evil = pod(ran="evil.example/x:1", image_id="evil.example/x@sha256:b")
    task = InferenceTask.model_validate(make_itask())
    image_id = f"docker.io/acesniper/runner@{DIGEST}"

    assert reporter(task, pod(ran=ran, image_id=image_id), IMAGE, node) == "Runner"
    assert reporter(task, evil, IMAGE, node) == "Container"


def test_a_container_that_ended_before_it_started_is_not_checked() -> None:
    report = TaskReport(inferences=1, latency_median_s=3.0)

    assert possible_report(report, finished_pod(report, ran_s=-60.0)) == report


def test_times_of_a_container_without_start_and_end_are_not_checked() -> None:
    report = TaskReport(inferences=1, latency_median_s=300.0)

    assert possible_report(report, {"status": {}}) == report
