"""The next action for a snapshot: one test for each branch of a task's lifecycle."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from acesniper.api.decision import Decision
from acesniper.api.names import PLAN_GATE
from acesniper.api.objects import Json, PodView
from acesniper.api.v1alpha1 import (
    InferenceTask,
    InferenceTaskStatus,
    ModelProfile,
    Phase,
    condition_is_true,
    find_condition,
)
from acesniper.domain.prediction import FinishEstimate
from acesniper.operator.task.lifecycle import next_action
from acesniper.operator.task.pod import pod_name
from acesniper.operator.task.snapshot import Action, TaskSnapshot
from builders import (
    SHA256,
    condition,
    make_device,
    make_gated_pod,
    make_itask,
    make_model_profile,
    make_pod,
    make_prediction,
    make_task,
)

QUEUED: Json = {"phase": "Queued", "modelProfile": "model", "observedGeneration": 1}
REPORT = json.dumps({"latency_median_s": 0.4, "latency_p90_s": 0.5, "load_s": 0.1})
DECISION = Decision.of(
    make_task().key,
    (FinishEstimate(make_device("d1"), make_prediction(0.5), 2),),
    3.0,
    "fcfs-mct",
    {},
)


def see(
    status: Json | None = None,
    *,
    pod: Json | None = None,
    models: Mapping[str, Json] | None = None,
    now_s: float = 10.0,
    may_queue: bool = True,
    **spec: Any,  # noqa: ANN401 - fields of the spec
) -> TaskSnapshot:
    """A task with its model profiled, and perhaps the pod of its current attempt."""
    task = InferenceTask.model_validate(make_itask(status=status, **spec))
    pods = {}
    if pod is not None:
        pod["metadata"] |= {"name": pod_name(task), "uid": "pod-uid"}
        pods[pod_name(task)] = (PodView.of(pod), pod)
    if models is None:
        models = {"model": make_model_profile()}
    return TaskSnapshot(
        task=task,
        pods=pods,
        models={name: ModelProfile.model_validate(model) for name, model in models.items()},
        may_queue=may_queue,
        now_s=now_s,
        image="runner:1",
    )


def reasons(step: Action) -> list[str]:
    return [notice.reason for notice in step.notices]


def running_status(phase: str = "Running", **more: Any) -> Json:  # noqa: ANN401
    return {**QUEUED, "phase": phase, "pod": "p", "podUid": "pod-uid", "node": "n", **more}


# --- the model -----------------------------------------------------------------------------------


def test_a_task_without_its_model_waits_with_one_event() -> None:
    step = next_action(see(models={}))
    again = next_action(replace(see(models={}), task=with_status(step.status)))

    assert step.status.phase is Phase.PENDING
    assert "there is no ModelProfile 'model' in this namespace" in str(step.status.message)
    assert (reasons(step), reasons(again)) == (["ModelNotFound"], [])
    assert again.status == step.status


def with_status(status: InferenceTaskStatus, **spec: Any) -> InferenceTask:  # noqa: ANN401
    dumped = status.model_dump(by_alias=True, mode="json")
    return InferenceTask.model_validate(make_itask(status=dumped, **spec))


def test_a_model_given_inline_gets_a_profile() -> None:
    source = {"uri": "https://models.example/x.onnx", "sha256": SHA256}

    step = next_action(see(model=None, models={}, source=source, batchSize=2))

    assert step.create_model is not None
    assert step.create_model["spec"]["source"] == source
    assert step.create_pod is None
    assert step.status.model_profile == step.create_model["metadata"]["name"]


def test_a_batch_other_than_the_profiles_gets_its_own_profile() -> None:
    step = next_action(see(batchSize=8, inputShapes={"height": 64}))

    assert step.create_model is not None
    assert step.create_model["spec"]["batchSize"] == 8
    assert step.create_model["spec"]["inputShapes"] == {"height": 64}


def test_a_task_waits_without_an_event_while_its_model_is_read() -> None:
    step = next_action(see(models={"model": make_model_profile(work=None)}))

    assert (step.status.phase, step.create_pod) == (Phase.PENDING, None)
    assert step.status.message == "ModelProfile model is being read"
    assert reasons(step) == []


def unsupported(*, lasting: bool) -> dict[str, Json]:
    conditions = [condition("Profiled", "False", "TooLarge" if lasting else "FetchFailed")]
    conditions += [condition("Unsupported", reason="TooLarge")] if lasting else []
    return {"model": make_model_profile(status={"conditions": conditions})}


def test_a_model_that_cannot_be_used_fails_the_task_with_its_reason() -> None:
    step = next_action(see(models=unsupported(lasting=True)))

    finished = find_condition(step.status.conditions, "Finished")
    assert step.status.phase is Phase.FAILED
    assert step.status.message == "ModelProfile model: TooLarge message"
    assert finished is not None
    assert finished.reason == "TooLarge"
    assert reasons(step) == ["TooLarge"]


def test_a_task_may_wait_for_a_model_that_cannot_be_used() -> None:
    step = next_action(see(models=unsupported(lasting=True), modelPolicy="Wait"))

    assert step.status.phase is Phase.PENDING
    assert reasons(step) == ["TooLarge"]


def test_a_task_waits_for_a_model_that_cannot_be_fetched_now() -> None:
    step = next_action(see(models=unsupported(lasting=False)))

    assert step.status.phase is Phase.PENDING
    assert reasons(step) == ["FetchFailed"]


# --- the queue -----------------------------------------------------------------------------------


def test_a_task_with_a_profiled_model_is_queued_with_a_gated_pod() -> None:
    step = next_action(see())

    assert step.status.phase is Phase.QUEUED
    assert step.status.model_profile == "model"
    assert step.status.observed_generation == 1
    assert step.create_pod is not None
    assert step.create_pod["spec"]["schedulingGates"]
    assert reasons(step) == ["Profiled", "Queued"]


def test_an_event_is_not_repeated() -> None:
    step = next_action(see({**QUEUED, "conditions": [condition("Profiled")]}))

    assert reasons(step) == []


def test_a_task_outside_the_window_is_queued_without_a_pod() -> None:
    step = next_action(see(may_queue=False))

    assert (step.status.phase, step.create_pod) == (Phase.QUEUED, None)


def test_a_suspended_task_gets_no_pod() -> None:
    step = next_action(see(suspend=True))

    assert (step.status.phase, step.create_pod) == (Phase.PENDING, None)
    assert step.status.message == "suspended; set spec.suspend to false to resume"


def test_an_invalid_template_fails_the_task_and_names_the_field() -> None:
    step = next_action(see(template={"spec": []}))

    assert (step.status.phase, step.create_pod) == (Phase.FAILED, None)
    assert step.status.message == "spec.template.spec must be an object, not []"
    assert reasons(step) == ["InvalidPod"]


def test_a_crash_between_creating_the_pod_and_writing_the_status_is_repaired() -> None:
    """The pod exists, and the status does not name it."""
    step = next_action(see({}, pod=make_gated_pod()))

    assert step.create_pod is None
    assert (step.status.phase, step.status.pod_uid) == (Phase.QUEUED, "pod-uid")


# --- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pod", [None, make_gated_pod()], ids=["no pod", "gated"])
def test_a_task_with_the_policy_reject_ends_at_its_deadline(pod: Json | None) -> None:
    snapshot = see(QUEUED, pod=pod, now_s=90.0, deadline="90s", deadlinePolicy="Reject")

    step = next_action(snapshot)

    assert step.status.phase is Phase.FAILED
    assert reasons(step) == ["DeadlineExceeded"]
    assert (step.delete_pod is not None) is (pod is not None)
    assert step.create_pod is None


def test_a_task_is_requeued_at_its_deadline() -> None:
    step = next_action(
        see(QUEUED, pod=make_gated_pod(), now_s=30.0, deadline="90s", deadlinePolicy="Reject")
    )

    assert step.requeue_after_s == 60.0
    assert step.status.phase is Phase.QUEUED


def test_a_best_effort_task_continues_after_its_deadline() -> None:
    step = next_action(see(now_s=1000.0, deadline="90s"))

    assert step.status.phase is Phase.QUEUED


def test_a_running_task_is_not_stopped_at_its_deadline() -> None:
    pod = make_pod(node="n", phase="Running")

    step = next_action(
        see(running_status(), pod=pod, now_s=1000.0, deadline="90s", deadlinePolicy="Reject")
    )

    assert step.status.phase is Phase.RUNNING


def test_a_deadline_that_the_planner_finds_unreachable_ends_the_task() -> None:
    pod = make_gated_pod()
    pod["metadata"]["annotations"]["acesniper.io/refused"] = "no device can meet the deadline"

    step = next_action(see(QUEUED, pod=pod, deadline="90s", deadlinePolicy="Reject"))

    assert (step.status.phase, step.status.message) == (
        Phase.FAILED,
        "no device can meet the deadline",
    )
    assert step.delete_pod is not None


# --- the pod's life ------------------------------------------------------------------------------


def test_a_gated_pod_waits() -> None:
    step = next_action(see(QUEUED, pod=make_gated_pod()))

    assert step.status.phase is Phase.QUEUED
    assert (step.create_pod, step.delete_pod) == (None, None)


def test_a_pod_with_another_gate_reports_that_gate() -> None:
    pod = make_pod(gates=["kueue.x-k8s.io/admission", PLAN_GATE])

    message = str(next_action(see(QUEUED, pod=pod)).status.message)

    assert "waits for scheduling gate kueue.x-k8s.io/admission" in message


def unschedulable() -> Json:
    says = {**condition("PodScheduled", "False", "Unschedulable"), "message": "Insufficient cpu"}
    pod = make_pod()
    pod["status"]["conditions"] = [says]
    return pod


def test_a_scheduling_failure_has_one_event_and_a_condition_until_the_pod_runs() -> None:
    reported = next_action(see(QUEUED, pod=unschedulable()))
    withdrawn = next_action(replace(see(), task=with_status(reported.status)))
    gone = withdrawn.status
    waiting = next_action(replace(see(), task=with_status(gone)))
    again = next_action(replace(see(pod=unschedulable()), task=with_status(waiting.status)))
    running = see(running_status(), pod=make_pod(node="n", phase="Running"))
    placed = next_action(replace(running, task=with_status(reported.status)))

    assert reasons(reported) == ["Unschedulable"]
    assert "Insufficient cpu" in str(waiting.status.message)
    assert reasons(again) == []
    assert "runs on n" in str(placed.status.message)
    assert condition_is_true(placed.status.conditions, "Healthy")


def test_suspending_a_queued_task_deletes_its_pod_without_counting_an_attempt() -> None:
    step = next_action(see(QUEUED, pod=make_gated_pod(), suspend=True))

    assert step.delete_pod is not None
    assert (step.status.phase, step.status.pod_uid) == (Phase.PENDING, None)
    assert (step.status.attempts, step.status.incarnation) == (0, 1)


def test_suspending_a_running_task_lets_it_run() -> None:
    step = next_action(see(running_status(), pod=make_pod(node="n", phase="Running"), suspend=True))

    assert step.delete_pod is None
    assert step.status.phase is Phase.RUNNING


def test_an_ungated_pod_that_is_not_bound_has_no_event() -> None:
    status = {**QUEUED, "pod": "p", "podUid": "pod-uid"}

    step = next_action(see(status, pod=make_pod()))

    assert step.status.phase is Phase.QUEUED
    assert step.notices == ()


@pytest.mark.parametrize(
    ("pod_phase", "phase", "message"),
    [
        ("Pending", Phase.SCHEDULED, "starts on node-d1"),
        ("Running", Phase.RUNNING, "runs on node-d1"),
    ],
)
def test_a_bound_pod_has_an_event_with_the_reason_of_its_placement(
    pod_phase: str, phase: Phase, message: str
) -> None:
    pod = make_pod(node="node-d1", device="d1", decision=DECISION, phase=pod_phase)

    step = next_action(see(QUEUED, pod=pod))

    status = step.status
    assert (status.phase, status.message) == (phase, message)
    assert (status.node, status.device) == ("node-d1", "d1")
    assert status.predicted is not None
    assert (status.predicted.latency_seconds, status.predicted.run_seconds) == (0.5, 1.0)
    assert status.predicted.wait_seconds == 3.0
    assert [notice.message for notice in step.notices] == ["on node-d1 1 s (2 x 500 ms)"]


def test_the_placement_has_one_event() -> None:
    status = running_status("Scheduled")

    step = next_action(see(status, pod=make_pod(node="n", phase="Running")))

    assert step.notices == ()


@pytest.mark.parametrize("decision", [None, "{}", "nonsense"])
def test_a_pod_without_a_valid_decision_counts_as_placed_by_kube_scheduler(
    decision: str | None,
) -> None:
    step = next_action(see(QUEUED, pod=make_pod(node="n", decision=decision)))

    assert step.status.predicted is None
    assert [notice.message for notice in step.notices] == ["on n, as the stock scheduler would"]


def test_a_task_waits_for_the_deletion_of_its_pod() -> None:
    step = next_action(
        see(running_status(), pod=make_pod(node="n", phase="Running", deleting=True))
    )

    assert step.status.phase is Phase.RUNNING
    assert step.requeue_after_s is not None


# --- ends ----------------------------------------------------------------------------------------


def finished_pod(message: str, phase: str = "Succeeded", exit_code: int = 0) -> Json:
    return make_pod(
        node="node-d1",
        device="d1",
        decision=DECISION,
        phase=phase,
        terminated={
            "exitCode": exit_code,
            "reason": "Completed" if not exit_code else "Error",
            "message": message,
            "startedAt": "1970-01-01T00:00:04Z",
            "finishedAt": "1970-01-01T00:00:06Z",
        },
    )


def test_a_success_is_compared_with_its_prediction() -> None:
    step = next_action(see(running_status(), pod=finished_pod(REPORT)))

    status = step.status
    assert status.phase is Phase.SUCCEEDED
    assert status.observed is not None
    assert (status.observed.latency_median_seconds, status.observed.wait_seconds) == (0.4, 4.0)
    assert status.observed.finish_time == "1970-01-01T00:00:06Z"
    assert status.error_ratio == pytest.approx(0.25)
    assert status.message == ("observed 400 ms, predicted 500 ms (250 ms to 1 s), off by 25 %")
    assert reasons(step)[-1] == "Succeeded"


@pytest.mark.parametrize("message", ["", "done", '{"latency_median_s": -1}'])
def test_a_success_without_a_valid_report_is_a_success(message: str) -> None:
    step = next_action(see(running_status(), pod=finished_pod(message)))

    assert step.status.phase is Phase.SUCCEEDED
    assert step.status.error_ratio is None
    assert step.status.message == "observed not reported"


def test_a_success_without_an_observed_start_is_recorded_in_one_action() -> None:
    step = next_action(see({}, pod=finished_pod(REPORT)))

    assert step.status.phase is Phase.SUCCEEDED
    assert step.status.node == "node-d1"
    assert reasons(step) == ["Placed", "Succeeded"]


def test_a_failed_attempt_is_retried_and_its_message_kept() -> None:
    pod = finished_pod("out of memory", "Failed", exit_code=9)

    step = next_action(see(running_status(incarnation=3), pod=pod, retries=1))

    status = step.status
    assert (status.phase, status.attempts, status.incarnation) == (Phase.PENDING, 1, 0)
    assert (status.pod, status.pod_uid, status.node) == (None, None, None)
    assert "Error, exit code 9: out of memory; retry 1 of 1" in str(status.message)
    assert reasons(step) == ["AttemptFailed"]


def test_the_last_failed_attempt_fails_the_task() -> None:
    pod = finished_pod("out of memory", "Failed", exit_code=9)

    step = next_action(see(running_status(attempts=1), pod=pod, retries=1))

    assert (step.status.phase, step.status.attempts) == (Phase.FAILED, 2)
    assert str(step.status.message).endswith("out of memory; no retry is left")


def retrying(attempts: int) -> Json:
    conditions = [condition("Retrying", at_s=100.0), condition("Profiled")]
    return {"phase": "Pending", "attempts": attempts, "conditions": conditions}


@pytest.mark.parametrize(
    ("attempts", "pause_s"), [(1, 5.0), (2, 10.0), (3, 20.0), (7, 300.0), (99, 300.0)]
)
def test_every_retry_waits_twice_as_long_up_to_a_limit(attempts: int, pause_s: float) -> None:
    status = retrying(attempts)

    early = next_action(see(status, now_s=100.0 + pause_s - 1.0, retries=100))
    due = next_action(see(status, now_s=100.0 + pause_s, retries=100))

    assert early.create_pod is None
    assert early.requeue_after_s == pytest.approx(1.0)
    assert due.create_pod is not None


def test_waiting_for_a_retry_writes_nothing_new() -> None:
    """A write causes an event, which requeues the task: it would never stop."""
    first = next_action(see(retrying(1), now_s=101.0))

    second = next_action(replace(see(now_s=102.5), task=with_status(first.status)))

    assert second.status == first.status


def test_each_attempt_has_its_own_pod() -> None:
    first, second = next_action(see()), next_action(see(retrying(1), now_s=1000.0))

    assert first.create_pod is not None
    assert second.create_pod is not None
    assert first.create_pod["metadata"]["name"] != second.create_pod["metadata"]["name"]


def test_a_pod_that_vanished_while_queued_costs_no_attempt() -> None:
    status = {**QUEUED, "pod": "p", "podUid": "pod-uid"}

    step = next_action(see(status))

    assert (step.status.attempts, step.status.incarnation) == (0, 1)
    assert step.status.pod_uid is None
    assert step.confirm_gone == "p"
    assert step.create_pod is None


@pytest.mark.parametrize("phase", ["Scheduled", "Running"])
def test_a_pod_that_vanished_while_it_ran_costs_an_attempt(phase: str) -> None:
    step = next_action(see(running_status(phase)))

    assert (step.status.attempts, step.status.incarnation) == (1, 0)
    assert step.confirm_gone == "p"
    assert "disappeared from node n" in str(step.status.message)
    assert reasons(step) == ["PodLost"]


def ended(**spec: Any) -> Json:  # noqa: ANN401
    return {"phase": "Succeeded", "conditions": [condition("Finished", at_s=100.0)]}


def test_a_finished_task_stays_as_it_is() -> None:
    snapshot = see(ended(), now_s=1e6)

    step = next_action(snapshot)

    assert step == Action(snapshot.task.status)


def test_the_pods_of_a_finished_task_are_deleted() -> None:
    step = next_action(see(ended(), pod=make_gated_pod()))

    assert step.delete_pod is not None


def test_a_finished_task_is_deleted_after_its_ttl() -> None:
    early = next_action(see(ended(), now_s=150.0, ttlAfterFinished="1m"))
    due = next_action(see(ended(), now_s=160.0, ttlAfterFinished="1m"))

    assert (early.delete_task, early.requeue_after_s) == (False, 10.0)
    assert due.delete_task


def test_no_action_repeats_once_it_was_executed() -> None:
    """The same snapshot with the written status leads to the same status."""
    sights = [
        see(),
        see(models={}),
        see(QUEUED, pod=make_gated_pod()),
        see(QUEUED, pod=make_pod(node="n", phase="Running", decision=DECISION)),
        see(running_status(), pod=finished_pod(REPORT)),
        see(suspend=True),
    ]

    for snapshot in sights:
        first = next_action(snapshot)
        task = snapshot.task.model_copy(update={"status": first.status})
        assert next_action(replace(snapshot, task=task)).status == first.status
