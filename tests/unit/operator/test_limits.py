"""The limit of a task's predicted run: refusal, the pod's deadline, and what follows from it."""

from dataclasses import replace
from typing import Any

import pytest

from acesniper.api.objects import Json, PodView
from acesniper.api.v1alpha1 import InferenceTask, InferenceTaskSpec, ModelProfile, ModelSource
from acesniper.operator.task.lifecycle import next_action
from acesniper.operator.task.pod import pod_name, render_pod
from acesniper.operator.task.pod_failure import Fault, attempt_failure
from acesniper.operator.task.snapshot import Action, TaskSnapshot
from acesniper.policies.estimates import LIMIT_TEXT
from builders import SHA256, make_gated_pod, make_itask, make_model_profile, make_pod

SOURCE = ModelSource(uri="https://models.example/m.onnx", sha256=SHA256)
LATENCIES = {"cpu/arm64": 0.5, "cuda/amd64": 0.01}
"""Seconds of one inference on the fastest device of each class."""


def measured(**seconds: float) -> Json:
    classes = [
        {
            "deviceClass": name,
            "devices": 1,
            "fastestSeconds": value,
            "medianSeconds": value,
            "slowestSeconds": value,
        }
        for name, value in seconds.items()
    ]
    profile = make_model_profile()
    profile["status"]["latency"] = classes
    return profile


def action(pod: Json | None = None, limit_s: float = 60.0, **spec: Any) -> Action:  # noqa: ANN401
    task = InferenceTask.model_validate(make_itask(**spec))
    pods = {}
    if pod is not None:
        pod["metadata"] |= {"name": pod_name(task), "uid": "pod-uid"}
        pods[pod_name(task)] = PodView.of(pod), pod
    model = ModelProfile.model_validate(measured(**LATENCIES))
    snapshot = TaskSnapshot(task, pods, {"model": model}, True, 10.0, "runner:1")
    return next_action(replace(snapshot, max_task_s=limit_s))


def refusal(step: Action) -> str | None:
    ends = [item for item in step.status.conditions if item.type == "Finished"]
    return ends[0].reason if ends else None


@pytest.mark.parametrize("suspend", [False, True])
def test_a_task_above_the_limit_is_refused_with_field_value_and_limit(suspend: bool) -> None:
    step = action(inferences=10_000, suspend=suspend)

    assert refusal(step) == "LimitExceeded"
    assert step.create_pod is None
    assert step.status.message == (
        "spec.inferences 10000 is predicted to run for 100 s on the fastest device, longer than"
        " the limit of 60 s per task (scheduling.settings.maxTaskS); use tasks of at most 6000"
        " inferences"
    )


def test_only_devices_that_may_run_the_task_count() -> None:
    assert refusal(action(inferences=200, runtime=["cpu"])) == "LimitExceeded"
    assert refusal(action(inferences=200)) is None


def test_a_task_within_the_limit_and_one_without_a_prediction_get_a_pod_that_ends() -> None:
    for step in (action(inferences=6000), action(inferences=10**9, runtime=["npu"])):
        assert step.create_pod is not None
        assert step.create_pod["spec"]["activeDeadlineSeconds"] == 90


def test_without_a_limit_nothing_is_refused_or_ended() -> None:
    step = action(limit_s=0.0, inferences=10**9)

    assert step.create_pod is not None
    assert "activeDeadlineSeconds" not in step.create_pod["spec"]


def test_a_queued_task_whose_prediction_rose_above_the_limit_is_refused() -> None:
    step = action(make_gated_pod(), inferences=10_000)

    assert refusal(step) == "LimitExceeded"
    assert step.delete_pod is not None


def test_the_limit_that_the_planner_found_exceeded_is_the_reason() -> None:
    pod = make_gated_pod()
    pod["metadata"]["annotations"]["acesniper.io/refused"] = f"no device can meet {LIMIT_TEXT}: d"

    step = action(pod)

    assert refusal(step) == "LimitExceeded"


def test_a_shorter_deadline_of_the_template_is_kept() -> None:
    template = {"spec": {"activeDeadlineSeconds": 30, "containers": [{"name": "c", "image": "i"}]}}
    task = InferenceTask.model_validate(make_itask(template=template))

    pod = render_pod(task, "model", SOURCE, "runner:1", max_task_s=60.0)

    assert pod["spec"]["activeDeadlineSeconds"] == 30


def test_a_pod_that_ran_too_long_is_not_retried() -> None:
    pod = make_pod(node="n", phase="Failed", terminated={"exitCode": 137, "reason": "Error"})
    pod["status"]["reason"] = "DeadlineExceeded"
    pod["spec"]["activeDeadlineSeconds"] = 90

    failure = attempt_failure(pod, InferenceTaskSpec(model="m"), None)

    assert (failure.reason, failure.fault) == ("RunTimeExceeded", Fault.FINAL)
    assert failure.message == "pod pod: ran longer than its limit of 90 s (activeDeadlineSeconds)"


def test_the_pod_carries_the_labels_that_kueue_reads() -> None:
    labels = {"kueue.x-k8s.io/queue-name": "team", "team": "a"}
    task = InferenceTask.model_validate(make_itask(metadata={"labels": labels}))

    rendered = render_pod(task, "model", SOURCE, "runner:1")["metadata"]["labels"]

    assert rendered["kueue.x-k8s.io/queue-name"] == "team"
    assert "team" not in rendered
