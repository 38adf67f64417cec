"""Endings and disruptions of tasks, as listed in `docs/reference/endings.md`, and run times."""

from dataclasses import replace
from typing import Any

import pytest

from acesniper.api.decision import Decision
from acesniper.api.objects import Json, PodView
from acesniper.api.units import epoch_s, rfc3339
from acesniper.api.v1alpha1 import DeviceProfile, InferenceTask, ModelProfile, Phase, find_condition
from acesniper.domain.prediction import FinishEstimate
from acesniper.domain.task import TaskKey
from acesniper.operator.task.lifecycle import next_action
from acesniper.operator.task.pod import pod_name
from acesniper.operator.task.snapshot import Action, TaskSnapshot
from acesniper.operator.task.termination import MAX_DISRUPTIONS, observed_outcome
from builders import (
    condition,
    make_device,
    make_device_profile,
    make_gated_pod,
    make_itask,
    make_model_profile,
    make_node,
    make_pod,
    make_prediction,
)

RUNNING: Json = {
    "phase": "Running",
    "modelProfile": "model",
    "pod": "p",
    "podUid": "pod-uid",
    "node": "n",
    "device": "d",
}
GIB = 2**30


def see(
    pod: Json | None,
    *,
    status: Json | None = None,
    now_s: float = 100.0,
    nodes: tuple[Json, ...] | None = (make_node("n"),),
    devices: dict[str, int] | None = None,
    models: dict[str, Json] | None = None,
    generation: int = 1,
    **spec: Any,  # noqa: ANN401 - fields of the spec
) -> TaskSnapshot:
    """A running task, its pod, the node `n`; `devices` have so many bytes."""
    manifest = make_itask(
        status=RUNNING if status is None else status, metadata={"generation": generation}, **spec
    )
    task = InferenceTask.model_validate(manifest)
    pods = {}
    if pod is not None:
        pod["metadata"] |= {"name": pod_name(task), "uid": "pod-uid"}
        pods[pod_name(task)] = (PodView.of(pod), pod)
    profiles = {name: make_device_profile(name) for name in devices or {}}
    for name, memory_bytes in (devices or {}).items():
        profiles[name]["status"]["memoryBytes"] = memory_bytes
    manifests = {"model": make_model_profile()} if models is None else models
    return TaskSnapshot(
        task=task,
        pods=pods,
        models={name: ModelProfile.model_validate(model) for name, model in manifests.items()},
        may_queue=True,
        now_s=now_s,
        image="runner:1",
        nodes=None if nodes is None else {node["metadata"]["name"]: node for node in nodes},
        devices={name: DeviceProfile.model_validate(profile) for name, profile in profiles.items()},
        start_patience_s=60.0,
        run_limit_factor=10.0,
        run_limit_floor_s=600.0,
    )


def later(snapshot: TaskSnapshot, step: Action, seconds: float) -> TaskSnapshot:
    """The same snapshot after an action was executed, some time later."""
    task = snapshot.task.model_copy(update={"status": step.status})
    return replace(snapshot, task=task, now_s=snapshot.now_s + seconds)


def reasons(step: Action) -> list[str]:
    return [notice.reason for notice in step.notices]


def healthy(step: Action) -> tuple[str, str] | None:
    found = find_condition(step.status.conditions, "Healthy")
    return None if found is None else (found.status, found.reason)


def running(**rest: Any) -> Json:  # noqa: ANN401 - as make_pod
    return make_pod(node="n", device="d", phase="Running", **rest)


def failed(exit_code: int = 1, reason: str = "Error", **status: Any) -> Json:  # noqa: ANN401
    ended = {"exitCode": exit_code, "reason": reason}
    pod = make_pod(node="n", device="d", phase="Failed", terminated=ended)
    pod["status"] |= status
    return pod


def waiting(reason: str) -> Json:
    pod = make_pod(node="n", device="d")
    state = {"waiting": {"reason": reason, "message": "not found"}}
    pod["status"]["containerStatuses"] = [{"name": "runner", "image": "i:1", "state": state}]
    return pod


def disruption(reason: str) -> list[Json]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "why"}]


# --- failures ------------------------------------------------------------------------------------


def test_a_disruption_is_an_attempt_but_costs_no_retry() -> None:
    pod = failed(143, conditions=disruption("EvictionByEvictionAPI"))

    step = next_action(see(pod, retries=0))

    assert step.status.phase is Phase.PENDING
    assert (step.status.attempts, step.status.disruptions) == (1, 1)
    assert reasons(step) == ["Evicted"]


def test_a_task_fails_after_the_limit_of_disruptions() -> None:
    status = {**RUNNING, "attempts": MAX_DISRUPTIONS, "disruptions": MAX_DISRUPTIONS}
    pod = failed(143, conditions=disruption("PreemptionByScheduler"))

    step = next_action(see(pod, status=status))

    assert (step.status.phase, reasons(step)) == (Phase.FAILED, ["Preempted"])


def test_disruptions_leave_all_retries_to_the_application() -> None:
    status = {**RUNNING, "attempts": 3, "disruptions": 3}

    step = next_action(see(failed(), status=status, retries=1))

    assert step.status.phase is Phase.PENDING
    assert str(step.status.message).endswith("retry 1 of 1")


def test_the_status_keeps_the_devices_on_which_attempts_failed() -> None:
    status = {**RUNNING, "failedDevices": ["d", "other"]}

    step = next_action(see(failed(), status=status))
    evicted = next_action(see(failed(143, conditions=disruption("EvictionByEvictionAPI"))))

    assert step.status.failed_devices == ["other", "d"]
    assert evicted.status.failed_devices == []


def test_a_final_failure_is_not_retried() -> None:
    step = next_action(see(failed(42), permanentExitCodes=[42], retries=5))

    assert step.status.phase is Phase.FAILED
    assert "a retry would fail as well" in str(step.status.message)


def test_out_of_memory_is_recorded_at_the_model_and_retried_on_a_larger_device() -> None:
    step = next_action(see(failed(137, "OOMKilled"), devices={"d": GIB, "larger": 2 * GIB}))

    assert step.status.phase is Phase.PENDING
    assert step.learn_memory == ("model", GIB + 1)
    assert reasons(step) == ["OutOfMemory"]


def test_out_of_memory_on_the_largest_device_fails_the_task() -> None:
    step = next_action(see(failed(137, "OOMKilled"), devices={"d": GIB, "same": GIB}))

    assert step.status.phase is Phase.FAILED
    assert step.learn_memory == ("model", GIB + 1)
    assert str(step.status.message).endswith("no device has more memory")


def test_a_device_of_another_runtime_does_not_count_as_larger() -> None:
    snapshot = see(
        failed(137, "OOMKilled"), devices={"d": GIB, "larger": 2 * GIB}, runtime=["cuda"]
    )

    assert next_action(snapshot).status.phase is Phase.FAILED


# --- containers that do not start ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("ErrImagePull", "ImagePullFailed"),
        ("ImagePullBackOff", "ImagePullFailed"),
        ("CreateContainerConfigError", "ContainerNotStarted"),
    ],
)
def test_a_start_failure_is_reported_and_fails_the_attempt_after_a_timeout(
    state: str, reason: str
) -> None:
    snapshot = see(waiting(state))

    first = next_action(snapshot)
    again = next_action(later(snapshot, first, 59.0))
    due = next_action(later(snapshot, again, 60.0))

    assert (first.status.phase, healthy(first)) == (Phase.SCHEDULED, ("False", reason))
    assert reasons(first) == [reason]
    assert first.requeue_after_s == 60.0
    assert reasons(again) == []
    assert (due.status.phase, due.status.attempts, reasons(due)) == (Phase.PENDING, 1, [reason])
    assert due.delete_pod is not None
    assert not due.force


def test_alternating_errors_are_one_problem() -> None:
    snapshot = see(waiting("ErrImagePull"))
    first = next_action(snapshot)

    then = see(waiting("ImagePullBackOff"), now_s=130.0)
    second = next_action(later(replace(then, now_s=100.0), first, 30.0))

    assert second.requeue_after_s == pytest.approx(30.0)
    assert reasons(second) == []


def test_a_pulled_image_resolves_the_problem() -> None:
    snapshot = see(waiting("ErrImagePull"))
    first = next_action(snapshot)

    step = next_action(later(see(running()), first, 5.0))

    assert (step.status.phase, healthy(step)) == (Phase.RUNNING, ("True", "PodHealthy"))


def test_an_invalid_image_name_fails_the_task_immediately() -> None:
    step = next_action(see(waiting("InvalidImageName"), retries=5))

    assert (step.status.phase, reasons(step)) == (Phase.FAILED, ["InvalidImageName"])
    assert step.delete_pod is not None


@pytest.mark.parametrize("state", ["ContainerCreating", "PodInitializing"])
def test_a_slow_start_is_not_a_problem(state: str) -> None:
    step = next_action(see(waiting(state)))

    assert (healthy(step), reasons(step)) == (None, [])


def crashing(exit_code: int) -> Json:
    """A pod whose native sidecar ends again and again, at a moment at which it runs."""
    pod = make_pod(node="n", device="d")
    pod["spec"]["initContainers"] = [{"name": "tunnel", "restartPolicy": "Always"}]
    ended = {"exitCode": exit_code, "reason": "Error", "message": "no route to host"}
    pod["status"]["initContainerStatuses"] = [
        {
            "name": "tunnel",
            "restartCount": 3,
            "state": {"running": {}},
            "lastState": {"terminated": ended},
        }
    ]
    return pod


def test_a_sidecar_that_is_restarted_for_ever_fails_the_attempt() -> None:
    snapshot = see(crashing(7))

    first = next_action(snapshot)
    due = next_action(later(snapshot, first, 60.0))

    assert "sidecar tunnel" in str(first.status.message)
    assert "exit code 7: no route to host" in str(first.status.message)
    assert (due.status.attempts, reasons(due)) == (1, ["ContainerNotStarted"])


def test_a_permanent_exit_code_of_a_sidecar_fails_the_task_immediately() -> None:
    step = next_action(see(crashing(7), permanentExitCodes=[7]))

    assert (step.status.phase, reasons(step)) == (Phase.FAILED, ["PermanentExitCode"])
    assert step.delete_pod is not None


# --- sidecars and limits of time -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("exit_code", "phase"), [(0, Phase.SUCCEEDED), (1, Phase.PENDING)], ids=["success", "failure"]
)
def test_a_sidecar_that_runs_on_does_not_hold_the_slot(exit_code: int, phase: Phase) -> None:
    pod = running()
    pod["spec"]["containers"].append({"name": "proxy"})
    pod["status"]["containerStatuses"] = [
        {"name": "proxy", "state": {"running": {}}},
        {"name": "runner", "state": {"terminated": {"exitCode": exit_code}}},
    ]

    step = next_action(see(pod))

    assert step.status.phase is phase
    assert step.delete_pod is not None


def bound(decision: Decision | None = None, **spec: Any) -> Json:  # noqa: ANN401 - of the pod
    """A running pod that was bound at the epoch."""
    pod = running(decision=decision)
    pod["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(0.0)}
    ]
    pod["spec"] |= spec
    return pod


def decided() -> Decision:
    """The decision for a run that is predicted to take 200 s at most."""
    prediction = make_prediction(10.0)
    estimate = FinishEstimate(make_device("d"), prediction, 10, 0.0)
    return Decision.of(TaskKey("default/task"), [estimate], 0.0, "test", {})


def test_a_run_that_hangs_is_ended_after_a_multiple_of_its_prediction() -> None:
    early = next_action(see(bound(decided()), now_s=1999.0))
    due = next_action(see(bound(decided()), now_s=2001.0))

    assert early.status.phase is Phase.RUNNING
    assert early.requeue_after_s == pytest.approx(1.0)
    assert (due.status.phase, reasons(due)) == (Phase.PENDING, ["RunTimeExceeded"])
    assert due.delete_pod is not None


def test_a_run_that_makes_progress_is_not_ended() -> None:
    progress = {"text": "1/10", "done": 1, "total": 10, "runSeconds": 1.0}
    status = {**RUNNING, "progress": {**progress, "seenAt": rfc3339(9900.0)}}

    step = next_action(see(bound(decided()), status=status, now_s=10_000.0))

    assert step.status.phase is Phase.RUNNING
    assert step.requeue_after_s == pytest.approx(500.0)


def test_the_time_limit_of_a_pod_holds_even_if_its_kubelet_does_not_end_it() -> None:
    pod = bound(activeDeadlineSeconds=30)

    kubelets_turn = next_action(see(pod, now_s=35.0))
    due = next_action(see(pod, now_s=41.0))

    assert kubelets_turn.status.phase is Phase.RUNNING
    assert (due.status.phase, reasons(due)) == (Phase.FAILED, ["RunTimeExceeded"])


def test_the_own_time_limit_of_a_task_takes_the_place_of_the_default() -> None:
    pod = bound(decided(), activeDeadlineSeconds=7200)

    assert next_action(see(pod, now_s=7000.0, activeDeadline="2h")).status.phase is Phase.RUNNING


def test_a_run_that_hangs_after_its_reject_deadline_is_ended() -> None:
    given: dict[str, Any] = {"deadline": "1m", "deadlinePolicy": "Reject"}

    late = next_action(see(bound(decided()), now_s=1000.0, **given))
    due = next_action(see(bound(decided()), now_s=2001.0, **given))

    assert late.status.phase is Phase.RUNNING
    assert reasons(due) == ["RunTimeExceeded"]


def test_out_of_memory_at_its_own_limit_is_not_tried_again() -> None:
    pod = failed(137, "OOMKilled")
    pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = "64Mi"

    step = next_action(see(pod, devices={"d": GIB, "larger": 2 * GIB}))

    assert (step.status.phase, step.status.attempts) == (Phase.FAILED, 1)
    assert "at its limit of 64Mi; it needs more" in str(step.status.message)


# --- nodes ---------------------------------------------------------------------------------------


def test_a_pod_of_a_deleted_node_is_lost_after_a_grace_period() -> None:
    snapshot = see(running(), nodes=())

    first = next_action(snapshot)
    step = next_action(later(snapshot, first, 10.0))

    assert (first.status.phase, healthy(first)) == (Phase.RUNNING, ("False", "NodeLost"))
    assert first.requeue_after_s == 10.0
    assert (step.status.phase, step.status.disruptions) == (Phase.PENDING, 1)
    assert step.delete_pod is not None
    assert step.force, "no kubelet is there to let it go"


def test_a_node_that_is_not_ready_keeps_its_pod_until_its_taint_evicts_it() -> None:
    snapshot = see(running(), nodes=(make_node("n", ready=False),))

    first = next_action(snapshot)
    much_later = next_action(later(snapshot, first, 3600.0))

    assert healthy(first) == ("False", "NodeNotReady")
    assert much_later.status.phase is Phase.RUNNING
    assert much_later.delete_pod is None


def test_a_pod_that_an_unreachable_node_does_not_terminate_is_force_deleted() -> None:
    pod = running(deleting=True)
    pod["metadata"]["deletionTimestamp"] = "1970-01-01T00:02:10Z"
    snapshot = see(pod, nodes=(make_node("n", ready=False),))

    first = next_action(snapshot)
    early = next_action(later(snapshot, first, 20.0))
    due = next_action(later(snapshot, first, 30.0))

    assert healthy(first) == ("False", "NodeLost")
    assert early.delete_pod is None, "its time to end is not over"
    assert due.delete_pod is not None
    assert due.force
    assert (due.status.attempts, due.status.disruptions) == (1, 1)


def test_a_pod_that_a_ready_node_terminates_is_not_force_deleted() -> None:
    snapshot = see(running(deleting=True))

    step = next_action(later(snapshot, next_action(snapshot), 3600.0))

    assert step.delete_pod is None
    assert step.requeue_after_s is not None


@pytest.mark.parametrize(
    ("by", "reason"), [("PreemptionByScheduler", "Preempted"), ("EvictionByEvictionAPI", "Evicted")]
)
def test_the_reason_of_a_vanished_pod_comes_from_its_last_status(by: str, reason: str) -> None:
    pod = running(deleting=True)
    pod["status"]["conditions"] = disruption(by)
    snapshot = see(pod)
    first = next_action(snapshot)

    gone = next_action(replace(later(snapshot, first, 1.0), pods={}))

    assert (healthy(first), reasons(first)) == (("False", reason), [reason])
    assert gone.status.phase is Phase.PENDING
    assert (gone.status.attempts, gone.status.disruptions) == (1, 1)
    retrying = find_condition(gone.status.conditions, "Retrying")
    assert retrying is not None
    assert retrying.reason == reason


@pytest.mark.parametrize(("ready", "reason"), [(True, "NodeTainted"), (False, "NodeLost")])
def test_a_not_ready_taint_is_reported_as_a_lost_node(ready: bool, reason: str) -> None:
    pod = running()
    pod["status"]["conditions"] = disruption("DeletionByTaintManager")

    assert healthy(next_action(see(pod, nodes=(make_node("n", ready=ready),)))) == ("False", reason)


def test_the_next_attempt_starts_without_the_problems_of_the_last() -> None:
    snapshot = see(running(), nodes=())
    gave_up = next_action(later(snapshot, next_action(snapshot), 10.0))

    assert healthy(gave_up) is None


# --- users ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pod", [None, make_gated_pod(), running(), failed()], ids=["none", "gated", "running", "failed"]
)
def test_a_cancelled_task_ends_in_any_state(pod: Json | None) -> None:
    snapshot = see(pod, cancel=True)

    step = next_action(snapshot)
    after = next_action(later(snapshot, step, 1.0))

    assert (step.status.phase, reasons(step)) == (Phase.FAILED, ["Cancelled"])
    alive = pod is not None and pod["status"]["phase"] != "Failed"
    assert (after.delete_pod is not None) is alive


def test_a_task_that_succeeded_before_it_was_cancelled_has_succeeded() -> None:
    pod = make_pod(node="n", phase="Succeeded", terminated={"exitCode": 0})

    assert next_action(see(pod, cancel=True)).status.phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    ("finished", "status", "expected_events"),
    [("00:00:59Z", "True", ["Succeeded"]), ("00:01:01Z", "False", ["DeadlineMissed", "Succeeded"])],
    ids=["in time", "late"],
)
def test_a_success_reports_whether_the_deadline_was_met(
    finished: str, status: str, expected_events: list[str]
) -> None:
    ended = {"exitCode": 0, "finishedAt": f"1970-01-01T{finished}"}
    pod = make_pod(node="n", phase="Succeeded", terminated=ended)

    step = next_action(see(pod, deadline="1m"))

    met = find_condition(step.status.conditions, "DeadlineMet")
    assert met is not None
    assert (met.status, reasons(step)) == (status, expected_events)


# --- changes of the model or the spec ------------------------------------------------------------


def of(pod: Json, digest: str = "a" * 64, generation: int = 1) -> Json:
    pod["metadata"]["annotations"] |= {
        "acesniper.io/model-sha256": digest,
        "acesniper.io/generation": str(generation),
    }
    return pod


def test_a_queued_pod_of_a_replaced_model_is_recreated() -> None:
    step = next_action(see(of(make_gated_pod(), "b" * 64), status={}))

    assert step.delete_pod is not None
    assert (step.status.incarnation, step.status.attempts) == (1, 0)
    assert reasons(step) == ["ModelChanged"]


def test_a_running_pod_of_a_replaced_model_continues_with_one_event() -> None:
    snapshot = see(of(running(), "b" * 64))

    step = next_action(snapshot)
    again = next_action(later(snapshot, step, 1.0))

    assert step.status.phase is Phase.RUNNING
    assert find_condition(step.status.conditions, "ModelChanged") is not None
    assert (reasons(step), reasons(again)) == (["ModelChanged"], [])


def test_a_queued_pod_of_an_older_spec_is_recreated() -> None:
    step = next_action(see(of(make_gated_pod()), status={}, generation=2))

    assert step.delete_pod is not None
    assert step.status.incarnation == 1


@pytest.mark.parametrize(
    "pod", [make_gated_pod(), of(make_gated_pod())], ids=["from before we wrote it", "as it is"]
)
def test_a_queued_pod_that_is_up_to_date_stays(pod: Json) -> None:
    assert next_action(see(pod, status={})).delete_pod is None


def test_a_queued_pod_is_kept_while_its_model_is_missing() -> None:
    assert next_action(see(of(make_gated_pod()), status={}, models={})).delete_pod is None


def test_no_action_on_a_problem_repeats_once_it_was_executed() -> None:
    sights = [
        see(running(), nodes=()),
        see(running(), nodes=(make_node("n", ready=False),)),
        see(running(deleting=True)),
        see(waiting("ErrImagePull")),
        see(of(running(), "b" * 64)),
        see(running(), status={**RUNNING, "conditions": [condition("Healthy", "False")]}),
    ]

    for snapshot in sights:
        first = next_action(snapshot)
        assert next_action(later(snapshot, first, 0.0)).status == first.status


BOUND_S = 10_000.0


def finished_pod(skew_s: float, *, late_s: float = 0.0) -> dict[str, Any]:
    """Accepted `late_s` after its binding, started 1 s and ended 6 s later, by the node's clock."""
    taken_s = BOUND_S + late_s + skew_s
    ended = {"startedAt": rfc3339(taken_s + 1.0), "finishedAt": rfc3339(taken_s + 6.0)}
    pod = make_pod(node="n", phase="Succeeded", terminated=ended, started=rfc3339(taken_s))
    bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(BOUND_S)}
    pod["status"]["conditions"] = [bound]
    return pod


@pytest.mark.parametrize("skew_s", [-86400.0, -3600.0, -1.0, 0.0, 1.0, 3600.0, 86400.0])
def test_times_are_those_of_the_api_server_with_any_clock_of_the_node(skew_s: float) -> None:
    created_s, now_s = BOUND_S - 4.0, BOUND_S + 7.0

    observed, _ = observed_outcome(None, finished_pod(skew_s), created_s, now_s)

    assert observed.container_seconds == pytest.approx(1.0, abs=1.0)
    assert observed.wait_seconds == pytest.approx(5.0, abs=1.0)
    assert epoch_s(str(observed.finish_time)) == pytest.approx(BOUND_S + 6.0, abs=1.0)


def test_a_late_start_of_a_pod_is_not_a_clock_error() -> None:
    now_s = BOUND_S + 607.0

    observed, _ = observed_outcome(None, finished_pod(0.0, late_s=600.0), BOUND_S, now_s)

    assert (observed.container_seconds, observed.wait_seconds) == (601.0, 601.0)
