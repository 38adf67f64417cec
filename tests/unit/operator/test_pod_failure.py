"""Classification of failed pods: one case for each rule."""

from typing import Any

import pytest

from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import InferenceTaskSpec
from acesniper.operator.task.pod_failure import (
    Fault,
    attempt_failure,
    has_failed,
    has_succeeded,
)
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
    ("limits", "device_bytes", "needs", "fault", "words"),
    [
        ({}, GIB, GIB + 1, Fault.APPLICATION, "on a device with 1024 MiB"),
        ({}, None, None, Fault.APPLICATION, "out of memory"),
        ({"memory": "512Mi"}, GIB, GIB // 2 + 1, Fault.FINAL, "at its limit of 512Mi"),
        ({"memory": "2Gi"}, GIB, GIB + 1, Fault.APPLICATION, "on a device with 1024 MiB"),
    ],
    ids=["the device's", "unknown", "its limit's", "the device's under its limit"],
)
def test_out_of_memory_reports_the_memory_that_was_insufficient(
    limits: Json, device_bytes: int | None, needs: int | None, fault: Fault, words: str
) -> None:
    pod = failed(exit_code=137, reason="OOMKilled", limits=limits)

    failure = attempt_failure(pod, spec(), device_bytes)

    assert (failure.reason, failure.fault) == ("OutOfMemory", fault)
    assert failure.needs_memory_bytes == needs
    assert words in failure.message


def test_an_eviction_for_memory_is_an_eviction() -> None:
    """The node was full, which does not show what the model needs."""
    pod = failed(exit_code=137, reason="OOMKilled", conditions=disrupted("TerminationByKubelet"))

    assert attempt_failure(pod, spec(), GIB).needs_memory_bytes is None


# --- limits of the pod itself --------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        'Usage of EmptyDir volume "scratch" exceeds the limit "64Mi". ',
        'Container runner exceeded its local ephemeral storage limit "1Gi". ',
        "Pod ephemeral local storage usage exceeds the total limit of containers 2Gi. ",
    ],
)
def test_an_eviction_for_the_pods_own_limit_is_the_tasks_fault(message: str) -> None:
    failure = attempt_failure(evicted(message), spec(), None)

    assert (failure.reason, failure.fault) == ("PodLimitExceeded", Fault.APPLICATION)
    assert message.strip() in failure.message


@pytest.mark.parametrize(
    "message",
    [
        "The node was low on resource: ephemeral-storage. Container runner was using 3Gi. ",
        "Pod was rejected: The node had condition: [DiskPressure]. ",
        "",
    ],
)
def test_an_eviction_by_an_older_kubelet_is_the_clusters_fault(message: str) -> None:
    """Before Kubernetes 1.26 there is no DisruptionTarget."""
    failure = attempt_failure(evicted(message), spec(), None)

    assert (failure.reason, failure.fault) == ("Evicted", Fault.CLUSTER)


def evicted(message: str) -> Json:
    pod = failed(exit_code=137)
    pod["status"] |= {"reason": "Evicted", "message": message}
    return pod


@pytest.mark.parametrize(
    ("cause", "reason"), [("Preempting", "Preempted"), ("Terminated", "NodeShutdown")]
)
def test_kubelets_disruption_is_explained_by_the_pods_reason(cause: str, reason: str) -> None:
    pod = failed(exit_code=137, conditions=disrupted("TerminationByKubelet"))
    pod["status"]["reason"] = cause

    assert attempt_failure(pod, spec(), None).reason == reason


def test_a_rejection_for_a_reason_that_is_not_known_is_the_clusters_fault() -> None:
    pod = make_pod(node="n", phase="Failed")
    pod["status"] |= {"reason": "FromTheFuture", "message": "Pod was rejected: no such thing"}

    failure = attempt_failure(pod, spec(), None)

    assert (failure.reason, failure.fault) == ("RejectedByNode", Fault.CLUSTER)


@pytest.mark.parametrize(("code", "reason"), [(137, "ContainerStatusUnknown"), (255, "Unknown")])
def test_a_container_that_its_node_lost_is_the_clusters_fault(code: int, reason: str) -> None:
    """After a restart of the node its runtime does not know the containers any more."""
    failure = attempt_failure(failed(exit_code=code, reason=reason), spec(), None)

    assert (failure.reason, failure.fault) == ("NodeLost", Fault.CLUSTER)


def test_a_container_that_ends_since_its_pod_is_deleted_is_the_clusters_fault() -> None:
    pod = failed(exit_code=143)
    pod["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:01:00Z",
        "deletionGracePeriodSeconds": 30,
    }
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]

    state["finishedAt"] = "2026-01-01T00:00:31Z"
    after = attempt_failure(pod, spec(), None)
    state["finishedAt"] = "2026-01-01T00:00:29Z"
    before = attempt_failure(pod, spec(), None)

    assert (after.reason, after.fault) == ("PodLost", Fault.CLUSTER)
    assert before.reason == "AttemptFailed"


# --- containers of other names ----------------------------------------------------------------


def with_init(name: str, *, sidecar: bool, exit_code: int, reason: str = "Error") -> Json:
    """A pod whose init container or native sidecar ended, so that its runner never started."""
    pod = make_pod(node="n", phase="Failed")
    pod["spec"]["initContainers"] = [
        {"name": name, **({"restartPolicy": "Always"} if sidecar else {})}
    ]
    ended = {"exitCode": exit_code, "reason": reason, "message": "no route to host"}
    pod["status"] |= {
        "initContainerStatuses": [{"name": name, "state": {"terminated": ended}}],
        "containerStatuses": [
            {"name": "runner", "state": {"waiting": {"reason": "PodInitializing"}}}
        ],
    }
    return pod


@pytest.mark.parametrize(("sidecar", "kind"), [(False, "init container"), (True, "sidecar")])
def test_a_failed_init_container_is_named_with_its_output(sidecar: bool, kind: str) -> None:
    pod = with_init("tunnel", sidecar=sidecar, exit_code=7)

    failure = attempt_failure(pod, spec(), None)

    expected = f"pod pod: {kind} tunnel: Error, exit code 7: no route to host"
    assert (failure.message, failure.fault) == (expected, Fault.APPLICATION)


def test_permanent_exit_codes_count_for_init_containers() -> None:
    pod = with_init("tunnel", sidecar=False, exit_code=7)

    failure = attempt_failure(pod, spec(permanentExitCodes=[7]), None)

    assert (failure.reason, failure.fault) == ("PermanentExitCode", Fault.FINAL)


def test_exit_code_2_of_an_init_container_says_nothing_about_the_runners_input() -> None:
    failure = attempt_failure(with_init("tunnel", sidecar=False, exit_code=2), spec(), None)

    assert failure.reason == "AttemptFailed"


def test_the_memory_of_a_sidecar_is_not_the_need_of_the_model() -> None:
    pod = with_init("tunnel", sidecar=True, exit_code=137, reason="OOMKilled")
    pod["spec"]["initContainers"][0]["resources"] = {"limits": {"memory": "32Mi"}}

    failure = attempt_failure(pod, spec(), GIB)

    assert (failure.reason, failure.needs_memory_bytes) == ("OutOfMemory", None)
    assert "sidecar tunnel: out of memory (OOM-killed) at its limit of 32Mi" in failure.message
    assert "container tunnel in spec.template" in failure.message


def test_the_limit_of_the_whole_pod_counts() -> None:
    pod = failed(exit_code=137, reason="OOMKilled", limits={"memory": "512Mi"})
    pod["spec"]["resources"] = {"limits": {"memory": "256Mi"}}

    assert "at its limit of 256Mi" in attempt_failure(pod, spec(), GIB).message


def with_proxy(runner: Json, other: Json, phase: str = "Running") -> Json:
    """A pod with an injected sidecar, which is listed first; `runner` and `other` are states."""
    pod = make_pod(node="n", phase=phase)
    pod["spec"]["containers"].insert(0, {"name": "a-proxy"})
    pod["status"]["containerStatuses"] = [
        {"name": "a-proxy", "state": other},
        {"name": "runner", "state": runner},
    ]
    return pod


def exited(code: int) -> Json:
    return {"terminated": {"exitCode": code, "reason": "Completed" if not code else "Error"}}


RUNS: Json = {"running": {}}


@pytest.mark.parametrize(
    ("runner", "other", "phase", "outcome"),
    [
        (RUNS, RUNS, "Running", (False, False)),
        (exited(0), RUNS, "Running", (True, False)),
        (exited(3), RUNS, "Running", (False, True)),
        (exited(0), exited(1), "Failed", (True, True)),
        (RUNS, exited(1), "Running", (False, False)),
        (exited(0), exited(0), "Running", (False, False)),
    ],
    ids=["running", "succeeded", "failed", "proxy failed", "proxy ended", "kubelet is about to"],
)
def test_the_runner_decides_whether_the_attempt_is_over(
    runner: Json, other: Json, phase: str, outcome: tuple[bool, bool]
) -> None:
    pod = with_proxy(runner, other, phase)

    assert (has_succeeded(pod, spec()), has_failed(pod, spec())) == outcome


def test_all_containers_of_a_template_without_a_runner_count() -> None:
    template = {"spec": {"containers": [{"name": "fetch"}, {"name": "work"}]}}
    pod = with_proxy(exited(0), RUNS)
    for named in (*pod["spec"]["containers"], *pod["status"]["containerStatuses"]):
        named["name"] = {"a-proxy": "work", "runner": "fetch"}[named["name"]]

    assert not has_succeeded(pod, spec(template=template))
