"""Classification of failed pods: one case for each rule."""

from typing import Any

import pytest

from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import InferenceTaskSpec
from acesniper.operator.task.pod_health import Fault, attempt_failure
from builders import make_pod

GIB = 2**30


def failed(
    *,
    exit_code: int = 1,
    reason: str = "Error",
    message: str = "",
    limits: Json | None = None,
    **status: Any,  # noqa: ANN401 - further fields of the pod's status
) -> Json:
    ended = {"exitCode": exit_code, "reason": reason, "message": message}
    pod = make_pod(node="n", phase="Failed", terminated=ended)
    pod["status"] |= status
    pod["spec"]["containers"][0]["resources"]["limits"] |= limits or {}
    return pod


def spec(**given: Any) -> InferenceTaskSpec:  # noqa: ANN401 - fields of the spec
    return InferenceTaskSpec.model_validate({"model": "m", **given})


def disrupted(reason: str) -> list[Json]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "why"}]


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("PreemptionByScheduler", "Preempted"),
        ("DeletionByTaintManager", "NodeTainted"),
        ("EvictionByEvictionAPI", "Evicted"),
        ("DeletionByPodGC", "NodeLost"),
        ("TerminationByKubelet", "Evicted"),
        ("SomethingNew", "Evicted"),
    ],
)
def test_an_attempt_ended_by_the_cluster_is_the_clusters_fault(condition: str, reason: str) -> None:
    failure = attempt_failure(failed(exit_code=143, conditions=disrupted(condition)), spec(), None)

    assert (failure.reason, failure.fault) == (reason, Fault.CLUSTER)
    assert failure.message == "pod pod: why"


@pytest.mark.parametrize(
    ("status_reason", "reason"),
    [
        ("Evicted", "Evicted"),
        ("NodeShutdown", "NodeShutdown"),
        ("Preempting", "Preempted"),
        ("UnexpectedAdmissionError", "RejectedByNode"),
        ("OutOfcpu", "RejectedByNode"),
    ],
)
def test_an_attempt_ended_or_rejected_by_its_node_is_the_clusters_fault(
    status_reason: str, reason: str
) -> None:
    pod = make_pod(node="n", phase="Failed")
    pod["status"] |= {"reason": status_reason, "message": "The node was low on resource: memory"}

    failure = attempt_failure(pod, spec(), None)

    assert (failure.reason, failure.fault) == (reason, Fault.CLUSTER)


def test_an_exit_code_is_the_applications_fault_and_costs_a_retry() -> None:
    failure = attempt_failure(failed(exit_code=3, message="oops"), spec(), None)

    assert (failure.reason, failure.fault) == ("AttemptFailed", Fault.APPLICATION)
    assert failure.message == "pod pod: Error, exit code 3: oops"


def test_a_permanent_exit_code_of_the_task_is_final() -> None:
    failure = attempt_failure(failed(exit_code=42), spec(permanentExitCodes=[41, 42]), None)

    assert (failure.reason, failure.fault) == ("PermanentExitCode", Fault.FINAL)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("error (DigestMismatch): m.onnx has the SHA-256 1, not 2", "ModelChanged"),
        ("warning: slow\nerror (NotOnnx): m.onnx", "NotOnnx"),
        ("error: no such shape", "InvalidInput"),
    ],
)
def test_input_that_the_runner_rejects_is_not_retried(words: str, reason: str) -> None:
    failure = attempt_failure(failed(exit_code=2, message=words), spec(), None)

    assert (failure.reason, failure.fault) == (reason, Fault.FINAL)


def test_exit_codes_of_other_containers_are_ignored() -> None:
    failure = attempt_failure(failed(exit_code=2), spec(template={"spec": {}}), None)

    assert failure.fault is Fault.APPLICATION


@pytest.mark.parametrize(
    ("limits", "device_bytes", "needs", "words"),
    [
        ({}, GIB, GIB + 1, "on a device with 1024 MiB"),
        ({}, None, None, "out of memory"),
        ({"memory": "512Mi"}, GIB, GIB // 2 + 1, "at its limit of 512Mi"),
        ({"memory": "2Gi"}, GIB, GIB + 1, "on a device with 1024 MiB"),
    ],
    ids=["the device's", "unknown", "its limit's", "the device's under its limit"],
)
def test_out_of_memory_reports_the_memory_that_was_insufficient(
    limits: Json, device_bytes: int | None, needs: int | None, words: str
) -> None:
    pod = failed(exit_code=137, reason="OOMKilled", limits=limits)

    failure = attempt_failure(pod, spec(), device_bytes)

    assert (failure.reason, failure.fault) == ("OutOfMemory", Fault.APPLICATION)
    assert failure.needs_memory_bytes == needs
    assert words in failure.message


def test_an_eviction_for_memory_is_an_eviction() -> None:
    """The node was full, which does not show what the model needs."""
    pod = failed(exit_code=137, reason="OOMKilled", conditions=disrupted("TerminationByKubelet"))

    assert attempt_failure(pod, spec(), GIB).needs_memory_bytes is None
