"""The operator on a cluster in memory: complete runs, a restart at every call, faults."""

from collections.abc import Iterator

import pytest

from acesniper.api.names import (
    DEVICE_PROFILES,
    INFERENCE_TASKS,
    MODEL_PROFILES,
    NODES,
    PLAN_GATE,
    PODS,
    TASK_LABEL,
    Kind,
)
from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import Phase, condition_is_true, find_condition
from acesniper.domain.errors import (
    AcesniperError,
    Conflict,
    Forbidden,
    InvalidInput,
    NamespaceTerminating,
    Unavailable,
)
from acesniper.operator.admission_window import QUOTA_BACKOFF, REJECTION_BACKOFF
from acesniper.operator.task.reconciler import LATE_WATCH_S, REPORT_AFTER_FAILURES
from acesniper.operator.task.volumes import NodeCache
from builders import make_device_profile, make_itask, make_model_profile, make_node, make_pod
from fake_cluster import Call, FakeCluster
from operator_process import FAILED, KEY, SUCCEEDED, Killed, Operator


@pytest.fixture
def operator() -> Operator:
    made = Operator()
    made.cluster.put(MODEL_PROFILES, make_model_profile())
    made.cluster.put(INFERENCE_TASKS, make_itask("t", retries=1))
    made.cluster.put(NODES, make_node("n"))
    made.start()
    return made


def bind(operator: Operator) -> None:
    operator.change_pod(spec={"schedulingGates": [], "nodeName": "n"})


def run(operator: Operator) -> None:
    operator.change_pod(status={"phase": "Running", "startTime": "1970-01-01T00:00:05Z"})


def end(operator: Operator, status: Json) -> None:
    operator.change_pod(status=status)


async def test_a_task_runs_from_apply_to_succeeded(operator: Operator) -> None:
    phases = []
    for event in (lambda _: None, bind, run, lambda key: end(key, SUCCEEDED)):
        event(operator)
        await operator.settle()
        phases.append(operator.phase)

    assert phases == [Phase.QUEUED, Phase.SCHEDULED, Phase.RUNNING, Phase.SUCCEEDED]
    assert len(operator.cluster.created(PODS)) == 1
    assert operator.reasons() == {"Profiled", "Queued", "Placed", "Succeeded"}
    assert operator.sample("acesniper_task_phases_total", phase="Succeeded") == 1.0


async def test_a_failed_attempt_is_retried_once(operator: Operator) -> None:
    await operator.settle()
    for _ in range(2):
        bind(operator)
        run(operator)
        end(operator, FAILED)
        await operator.settle()
        operator.clock.now_s += 1000.0
        await operator.settle()

    assert operator.phase is Phase.FAILED
    assert operator.task.status.attempts == 2
    assert len(operator.cluster.created(PODS)) == 2


async def test_a_withdrawn_pod_is_recreated_without_counting_an_attempt(operator: Operator) -> None:
    await operator.settle()
    operator.cluster.remove(PODS, operator.pod["metadata"]["name"], "default")

    await operator.settle()

    assert (operator.task.status.attempts, operator.task.status.incarnation) == (0, 1)
    assert operator.phase is Phase.QUEUED
    assert operator.pod["spec"]["schedulingGates"] == [{"name": PLAN_GATE}]


async def test_a_pod_lost_with_its_node_counts_as_an_attempt(operator: Operator) -> None:
    await operator.settle()
    bind(operator)
    run(operator)
    await operator.settle()
    operator.cluster.remove(PODS, operator.pod["metadata"]["name"], "default")

    await operator.settle()

    assert operator.task.status.attempts == 1
    assert "PodLost" in operator.reasons()


def killing(cluster: FakeCluster, after: int) -> Iterator[bool]:
    """Kill at the write number `after`; returns whether it was reached."""
    count = 0

    def kill(call: Call) -> None:
        nonlocal count
        count += 1
        if count == after:
            raise Killed

    cluster.after = kill
    yield True
    cluster.after = lambda call: None
    yield count >= after


async def live(operator: Operator, kill_at: int) -> bool:
    """A task with one failed attempt and one kill; returns whether the kill happened."""
    killer = killing(operator.cluster, kill_at)
    next(killer)

    async def settle() -> None:
        try:
            await operator.settle()
        except Killed:
            operator.start()
            await operator.settle()

    for status in (FAILED, SUCCEEDED):
        await settle()
        operator.clock.now_s += 1000.0
        await settle()
        for event in (bind, run, lambda key, status=status: end(key, status)):
            event(operator)
            await settle()
    return next(killer)


@pytest.mark.parametrize("kill_at", range(1, 25))
async def test_every_attempt_has_one_pod_after_a_kill_at_any_call(
    operator: Operator, kill_at: int
) -> None:
    await live(operator, kill_at)

    created = [pod["metadata"]["name"] for pod in operator.cluster.created(PODS)]
    assert operator.phase is Phase.SUCCEEDED
    assert operator.task.status.attempts == 1
    assert operator.task.status.incarnation == 0
    assert len(created) == len(set(created)) == 2


async def test_kills_cover_every_call_of_a_task(operator: Operator) -> None:
    assert not await live(operator, kill_at=25)


async def test_a_delayed_watch_leads_to_no_second_pod(operator: Operator) -> None:
    await operator.settle()
    pod = operator.pod
    operator.store.delete_pod(pod)

    again_s = await operator.tasks.reconcile(KEY)

    assert again_s == LATE_WATCH_S
    assert operator.task.status.incarnation == 0
    assert len(operator.cluster.created(PODS)) == 1


async def test_a_status_write_on_a_changed_task_conflicts_and_is_retried(
    operator: Operator,
) -> None:
    operator.see()
    suspend: Json = {"spec": {"suspend": True}}
    operator.cluster.change(INFERENCE_TASKS, "t", "default", suspend)

    with pytest.raises(Conflict):
        await operator.tasks.reconcile(KEY)
    await operator.settle()

    assert operator.task.status.message == "suspended; set spec.suspend to false to resume"
    assert operator.cluster.all(PODS) == []


async def test_suspending_and_resuming_counts_no_attempt(operator: Operator) -> None:
    await operator.settle()
    operator.cluster.change(INFERENCE_TASKS, "t", "default", {"spec": {"suspend": True}})
    await operator.settle()
    suspended = operator.phase, len(operator.cluster.all(PODS))

    operator.cluster.change(INFERENCE_TASKS, "t", "default", {"spec": {"suspend": False}})
    await operator.settle()

    assert suspended == (Phase.PENDING, 0)
    assert operator.phase is Phase.QUEUED
    assert operator.task.status.attempts == 0


async def test_a_model_given_inline_is_created_and_the_task_waits_for_it(
    operator: Operator,
) -> None:
    source = {"uri": "https://models.example/x.onnx", "sha256": "b" * 64}
    operator.cluster.remove(INFERENCE_TASKS, "t", "default")
    operator.cluster.put(INFERENCE_TASKS, make_itask("t", model=None, source=source))
    operator.start()

    await operator.settle()

    name = str(operator.task.status.model_profile)
    made = operator.cluster.one(MODEL_PROFILES, name, "default")
    assert made["spec"]["source"] == source
    assert operator.phase is Phase.PENDING


async def test_creating_a_model_is_retried_after_a_conflict_with_a_deleted_one(
    operator: Operator,
) -> None:
    source = {"uri": "https://models.example/x.onnx", "sha256": "b" * 64}
    operator.cluster.remove(INFERENCE_TASKS, "t", "default")
    operator.cluster.put(INFERENCE_TASKS, make_itask("t", model=None, source=source))
    operator.start()

    def conflict(call: Call) -> None:
        if (call.verb, call.kind) == ("create", MODEL_PROFILES):
            raise Conflict("injected")

    operator.cluster.before = conflict
    with pytest.raises(Conflict):
        await operator.settle()
    operator.cluster.before = lambda call: None
    await operator.settle()

    name = str(operator.task.status.model_profile)
    assert operator.cluster.one(MODEL_PROFILES, name, "default")


def refuse(operator: Operator, error: AcesniperError) -> None:
    def fail(call: Call) -> None:
        if (call.verb, call.kind) == ("create", PODS):
            raise error

    operator.cluster.before = fail


async def test_an_invalid_pod_fails_the_task_with_the_api_servers_message(
    operator: Operator,
) -> None:
    refuse(operator, InvalidInput("spec.containers[0].image: Required value"))

    await operator.settle()

    assert operator.phase is Phase.FAILED
    assert "spec.containers[0].image: Required value" in str(operator.task.status.message)


async def wait_for_turn(operator: Operator, seconds: float) -> None:
    """Refresh the window and reconcile the tasks in it, as the controller does."""
    operator.clock.now_s += seconds
    operator.tasks.window.refresh(operator.clock())
    await operator.settle()


@pytest.mark.parametrize(
    ("why", "errors"),
    [("exceeded quota: q", None), ("no PriorityClass with name p was found", 1.0)],
)
async def test_a_temporary_rejection_is_reported_and_retried(
    operator: Operator, why: str, errors: float | None
) -> None:
    refuse(operator, Forbidden(why))
    await operator.settle()
    refused = operator.task.status

    operator.cluster.before = lambda call: None
    await wait_for_turn(operator, REJECTION_BACKOFF.first_s)

    assert (refused.phase, refused.message) == (
        Phase.QUEUED,
        f"no pod can be created for now: {why}",
    )
    assert "PodRejected" in operator.reasons()
    assert operator.sample("acesniper_reconcile_errors_total", kind="task") == errors
    assert operator.task.status.message == "waits for a device"
    assert find_condition(operator.task.status.conditions, "Healthy") is None
    assert operator.pod


async def test_a_repeated_failure_is_reported_until_it_is_resolved(operator: Operator) -> None:
    refuse(operator, Unavailable("failed calling webhook"))
    messages = []
    for _ in range(REPORT_AFTER_FAILURES + 2):
        with pytest.raises(Unavailable):
            await operator.settle()
        messages.append(operator.task.status.message)

    operator.cluster.before = lambda call: None
    await operator.settle()

    reported = "cannot be reconciled for now: failed calling webhook"
    assert messages == [None] * (REPORT_AFTER_FAILURES - 1) + [reported] * 3
    assert "ReconcileFailed" in operator.reasons()
    assert operator.task.status.message == "waits for a device"


async def test_a_full_quota_is_retried_every_few_seconds(operator: Operator) -> None:
    refuse(operator, Forbidden("exceeded quota: q, used: 2, limited: 2"))

    for _ in range(60):
        await wait_for_turn(operator, 1.0)

    tried = [call for call in operator.cluster.calls if (call.verb, call.kind) == ("create", PODS)]
    assert 60 / QUOTA_BACKOFF.max_s <= len(tried) <= 60 / QUOTA_BACKOFF.max_s + 4


async def test_a_rejected_pod_is_retried_with_back_off(operator: Operator) -> None:
    refuse(operator, Forbidden("a new rejection each time"))

    for _ in range(600):
        await wait_for_turn(operator, 1.0)

    tried = [call for call in operator.cluster.calls if (call.verb, call.kind) == ("create", PODS)]
    assert len(tried) <= 5 + 600 / REJECTION_BACKOFF.max_s
    assert operator.reasons() == {"Profiled", "Queued", "PodRejected"}


class Mutilating(FakeCluster):
    """A cluster with an admission webhook that removes the task label from pods."""

    async def create(self, kind: Kind, manifest: Json, namespace: str | None = None) -> Json:
        """Create an object; pods without their label."""
        if kind == PODS:
            del manifest["metadata"]["labels"][TASK_LABEL]
        return await super().create(kind, manifest, namespace)


async def test_a_webhook_that_removes_the_task_label_is_reported_and_leaves_no_pods() -> None:
    operator = Operator(Mutilating())
    operator.cluster.put(MODEL_PROFILES, make_model_profile())
    operator.cluster.put(INFERENCE_TASKS, make_itask("t"))

    await operator.settle()

    assert "admission webhook removes the label" in str(operator.task.status.message)
    assert operator.cluster.all(PODS) == []


async def test_a_running_pod_without_its_label_is_deleted_and_counts_as_lost(
    operator: Operator,
) -> None:
    await operator.settle()
    bind(operator)
    run(operator)
    await operator.settle()
    name = operator.pod["metadata"]["name"]
    operator.change_pod(metadata={"labels": {TASK_LABEL: None}})
    operator.start()

    await operator.settle()
    ending = operator.pod["metadata"].get("deletionTimestamp")
    operator.cluster.remove(PODS, name, "default")
    await operator.settle()

    assert ending
    assert (operator.phase, operator.task.status.attempts) == (Phase.PENDING, 1)


@pytest.mark.parametrize(
    "edited",
    [{"status": {"attempts": -7, "incarnation": 10**12}}, {"status": None}],
    ids=["counts", "all of it"],
)
async def test_an_edited_status_leads_to_no_second_pod(operator: Operator, edited: Json) -> None:
    await operator.settle()
    bind(operator)
    end(operator, FAILED)
    await operator.settle()
    operator.clock.now_s += 60.0
    await operator.settle()
    bind(operator)
    run(operator)
    await operator.settle()
    operator.cluster.remove(PODS, operator.cluster.created(PODS)[0]["metadata"]["name"], "default")

    operator.cluster.change(INFERENCE_TASKS, "t", "default", edited)
    await operator.settle()
    running = operator.phase
    end(operator, SUCCEEDED)
    await operator.settle()

    assert (running, operator.phase) == (Phase.RUNNING, Phase.SUCCEEDED)
    assert len(operator.cluster.created(PODS)) == 2


async def test_a_queued_task_waits_while_its_model_is_deleted(
    operator: Operator,
) -> None:
    await operator.settle()
    pod = operator.pod["metadata"]["uid"]

    operator.cluster.remove(MODEL_PROFILES, "model", "default")
    operator.start()
    await operator.settle()
    without = operator.task.status
    operator.cluster.put(MODEL_PROFILES, make_model_profile())
    await operator.settle()

    assert "there is no ModelProfile 'model'" in str(without.message)
    assert operator.task.status.message == "waits for a device"
    assert condition_is_true(operator.task.status.conditions, "Profiled")
    assert operator.pod["metadata"]["uid"] == pod


async def test_a_deleted_inline_model_of_a_queued_task_is_recreated(
    operator: Operator,
) -> None:
    source = make_model_profile()["spec"]["source"]
    operator.cluster.remove(INFERENCE_TASKS, "t", "default")
    operator.cluster.put(INFERENCE_TASKS, make_itask("t", model=None, source=source))
    operator.start()
    await operator.settle()
    (name,) = operator.store.namespace_models("default").keys() - {"model"}
    status = {"status": make_model_profile()["status"]}
    operator.cluster.change(MODEL_PROFILES, name, "default", status)
    await operator.settle()
    queued = operator.phase

    operator.cluster.remove(MODEL_PROFILES, name, "default")
    operator.start()
    await operator.settle()

    assert queued is Phase.QUEUED
    assert operator.cluster.one(MODEL_PROFILES, name, "default")


@pytest.mark.parametrize(("finalizer", "left"), [("example.com/mine", 0), ("orphan", 1)])
async def test_a_deleted_task_with_a_finalizer_deletes_its_pods_unless_orphaned(
    operator: Operator, finalizer: str, left: int
) -> None:
    await operator.settle()
    going = {"deletionTimestamp": "1970-01-01T00:01:00Z", "finalizers": [finalizer]}

    operator.cluster.change(INFERENCE_TASKS, "t", "default", {"metadata": going})
    await operator.settle()

    assert len(operator.cluster.all(PODS)) == left


async def test_another_owners_pod_with_the_same_name_is_kept(operator: Operator) -> None:
    await operator.settle()
    name = operator.pod["metadata"]["name"]
    operator.cluster.remove(PODS, name, "default")
    operator.cluster.put(PODS, make_pod(name, task=None))
    status: Json = {"status": {"pod": None, "podUid": None, "phase": None}}
    operator.cluster.change(INFERENCE_TASKS, "t", "default", status)
    operator.start()

    await operator.settle()

    ours = [pod for pod in operator.cluster.all(PODS) if pod["metadata"]["name"] != name]
    assert len(ours) == 1
    assert operator.task.status.pod == ours[0]["metadata"]["name"]


async def test_a_task_whose_deletion_was_missed_is_dropped(operator: Operator) -> None:
    operator.cluster.remove(INFERENCE_TASKS, "t", "default")

    await operator.tasks.reconcile(KEY)

    assert KEY not in operator.store.tasks


async def test_a_finished_task_is_deleted_after_its_ttl(operator: Operator) -> None:
    operator.cluster.change(INFERENCE_TASKS, "t", "default", {"spec": {"ttlAfterFinished": "1m"}})
    await operator.settle()
    bind(operator)
    end(operator, SUCCEEDED)
    await operator.settle()
    kept = operator.phase

    operator.clock.now_s += 61.0
    operator.see()
    await operator.tasks.reconcile(KEY)

    assert kept is Phase.SUCCEEDED
    assert operator.cluster.all(INFERENCE_TASKS) == []


async def test_where_host_paths_are_forbidden_tasks_run_without_the_cache(
    operator: Operator,
) -> None:
    operator.tasks.cache = NodeCache("/var/lib/models", 1000)
    refused: list[Json] = []

    def refuse(call: Call) -> None:
        if call.verb == "create" and call.kind == PODS and not refused:
            refused.append({})
            raise Forbidden('violates PodSecurity "baseline": hostPath volumes')

    operator.cluster.before = refuse
    await operator.settle()

    volumes = [volume["name"] for volume in operator.pod["spec"]["volumes"]]
    assert refused
    assert volumes == ["scratch"]


async def test_the_task_of_a_deleted_node_runs_elsewhere_after_a_grace_period(
    operator: Operator,
) -> None:
    await operator.settle()
    bind(operator)
    run(operator)
    await operator.settle()
    operator.cluster.remove(NODES, "n")
    await operator.settle()
    still = operator.phase

    operator.clock.now_s += 11.0
    await operator.settle()
    operator.clock.now_s += 1000.0
    await operator.settle()

    status = operator.task.status
    assert still is Phase.RUNNING
    assert (status.phase, status.attempts, status.disruptions) == (Phase.QUEUED, 1, 1)
    assert "NodeLost" in operator.reasons()
    assert len(operator.cluster.all(PODS)) == 1, "the lost one was deleted by force"


async def test_an_out_of_memory_failure_is_recorded_for_the_planner(
    operator: Operator,
) -> None:
    for name, memory in (("small", 2**30), ("large", 2**34)):
        profile = make_device_profile(name)
        profile["status"]["memoryBytes"] = memory
        operator.cluster.put(DEVICE_PROFILES, profile)
    await operator.settle()
    operator.change_pod(metadata={"annotations": {"acesniper.io/device": "small"}})
    bind(operator)
    killed = {"name": "runner", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}

    end(operator, {"phase": "Failed", "containerStatuses": [killed]})
    await operator.settle()

    model = operator.cluster.one(MODEL_PROFILES, "model", "default")
    assert model["status"]["needsMemoryBytes"] == 2**30 + 1
    assert operator.task.status.attempts == 1
    assert operator.sample("acesniper_task_attempts_failed_total", reason="OutOfMemory") == 1.0


async def test_nothing_is_done_in_a_terminating_namespace(operator: Operator) -> None:
    refuse(operator, NamespaceTerminating("namespace default is being terminated"))

    assert await operator.tasks.reconcile(KEY) is None


async def test_a_cancelled_task_stops_its_pod_and_is_counted(operator: Operator) -> None:
    await operator.settle()
    bind(operator)
    run(operator)
    await operator.settle()

    operator.cluster.change(INFERENCE_TASKS, "t", "default", {"spec": {"cancel": True}})
    await operator.settle()

    assert operator.phase is Phase.FAILED
    assert operator.pod["metadata"]["deletionTimestamp"]
    assert operator.sample("acesniper_task_endings_total", reason="Cancelled") == 1.0
    assert "Cancelled" in operator.reasons()
