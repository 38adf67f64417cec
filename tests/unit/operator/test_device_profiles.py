from dataclasses import replace
from math import exp

import pytest
from prometheus_client import CollectorRegistry

from acesniper.api import convert
from acesniper.api.names import DEVICE_PROFILES, EVENTS, NODES, SLOT_RESOURCE
from acesniper.api.objects import Json
from acesniper.api.units import rfc3339
from acesniper.api.v1alpha1 import DeviceProfile, InferenceTask
from acesniper.domain.errors import Unavailable
from acesniper.domain.latency_history import (
    LEARNING_RATE,
    MAX_DEVICE_RUNS,
    MAX_RUNS,
    RUNS_PER_MODEL,
    ObservedRun,
    newest_runs,
)
from acesniper.domain.task import ModelKey
from acesniper.operator.cache import ObjectCache
from acesniper.operator.device_profiles import REPROBE_INTERVAL_S, DeviceReconciler
from acesniper.operator.device_status import (
    STALE_AFTER_S,
    device_conditions,
    updated_profile_status,
)
from acesniper.operator.metrics import OperatorMetrics
from acesniper.predictor.namespaces import MeasuredDevice
from acesniper.runtime.events import EventRecorder
from builders import make_device_profile, make_itask, make_node
from fake_cluster import Call, FakeCluster
from virtual_time import Clock

DAY_S = 24 * 3600.0


def condition_states(manifest: Json, now_s: float = 0.0) -> dict[str, tuple[str, str]]:
    conditions = device_conditions(DeviceProfile.model_validate(manifest), now_s)
    return {condition.type: (condition.status, condition.reason) for condition in conditions}


def test_a_device_that_was_not_measured_is_not_ready() -> None:
    assert condition_states(make_device_profile(pace=None)) == {"Ready": ("False", "NotMeasured")}


def test_a_device_with_steady_readings_is_ready_and_not_stale_or_noisy() -> None:
    assert condition_states(make_device_profile()) == {
        "Ready": ("True", "Measured"),
        "Stale": ("False", "ProfileCurrent"),
        "Noisy": ("False", "LowVariance"),
    }


@pytest.mark.parametrize(("spread", "noisy"), [(0.10, "False"), (0.11, "True")])
def test_a_device_whose_readings_spread_is_noisy(spread: float, noisy: str) -> None:
    assert condition_states(make_device_profile(spread=spread))["Noisy"][0] == noisy


@pytest.mark.parametrize(("age_s", "stale"), [(30 * DAY_S, "False"), (30 * DAY_S + 1, "True")])
def test_an_old_measurement_is_stale(age_s: float, stale: str) -> None:
    assert condition_states(make_device_profile(), now_s=age_s)["Stale"][0] == stale


class Setup:
    def __init__(self, *profiles: Json, node: Json | None = None) -> None:
        self.cluster, self.store, self.clock = FakeCluster(), ObjectCache(), Clock()
        self.metrics = OperatorMetrics.on(CollectorRegistry())
        events = EventRecorder(self.cluster, "test")
        self.reconciler = DeviceReconciler(
            self.cluster, self.store, self.metrics, events, self.clock
        )
        for profile in profiles:
            self.store.upsert_device(self.cluster.put(DEVICE_PROFILES, profile))
        node = node or make_node("n")
        self.store.nodes["n"] = self.cluster.put(NODES, node)

    def slots(self) -> tuple[str | None, str | None]:
        status = self.cluster.one(NODES, "n")["status"]
        capacity, allocatable = status["capacity"], status["allocatable"]
        return capacity.get(SLOT_RESOURCE), allocatable.get(SLOT_RESOURCE)


async def test_conditions_are_written_once_and_requeued_for_when_they_change() -> None:
    setup = Setup(make_device_profile("d", "n"))

    first_s = await setup.reconciler.reconcile("d")
    setup.clock.now_s = DAY_S
    second_s = await setup.reconciler.reconcile("d")

    conditions = setup.cluster.one(DEVICE_PROFILES, "d")["status"]["conditions"]
    assert [condition["type"] for condition in conditions] == ["Ready", "Stale", "Noisy"]
    assert (first_s, second_s) == (STALE_AFTER_S, STALE_AFTER_S - DAY_S)
    assert [call.verb for call in setup.cluster.calls] == ["patch"]


async def test_a_node_offers_as_many_slots_as_its_devices_have() -> None:
    setup = Setup(
        make_device_profile("cpu", "n", slots=2),
        make_device_profile("gpu", "n", slots=3),
        make_device_profile("other", "elsewhere", slots=50),
    )

    await setup.reconciler.reconcile_node("n")

    assert setup.slots() == ("5", "5")


async def test_a_node_with_the_right_slots_is_not_written() -> None:
    setup = Setup(make_device_profile("cpu", "n", slots=2), node=make_node("n", slots=2))

    await setup.reconciler.reconcile_node("n")

    assert setup.cluster.calls == []


async def test_a_thousand_slots_are_written_as_the_api_server_writes_them() -> None:
    node = make_node("n")
    node["status"]["capacity"] = node["status"]["allocatable"] = {SLOT_RESOURCE: "1k"}
    profiles = [make_device_profile(f"d{number}", "n", slots=50) for number in range(20)]
    setup = Setup(*profiles, node=node)

    await setup.reconciler.reconcile_node("n")

    assert setup.cluster.calls == []


async def test_a_node_that_lost_its_devices_loses_its_slots() -> None:
    setup = Setup(node=make_node("n", slots=2))

    await setup.reconciler.reconcile_node("n")

    assert setup.slots() == ("0", "0")


async def test_a_node_that_never_had_devices_is_never_written() -> None:
    setup = Setup()

    await setup.reconciler.reconcile_node("n")

    assert setup.cluster.calls == []


async def test_a_missed_deletion_of_a_profile_removes_its_slots() -> None:
    setup = Setup(make_device_profile("d", "n"), node=make_node("n", slots=1))
    setup.cluster.remove(DEVICE_PROFILES, "d")

    await setup.reconciler.reconcile("d")

    assert setup.store.devices == {}
    assert setup.slots() == ("0", "0")


RUN = ObservedRun(
    "t", ModelKey("n/m"), 0.123456789012345, 0.123456789012345, 0.123456789012345, 0.0
)


def finished(
    name: str,
    at_s: float,
    latency_s: float = 1.0,
    phase: str = "Succeeded",
    namespace: str = "default",
    reported_by: str = "Runner",
) -> InferenceTask:
    """A task on node n that took `latency_s` where 1 s was predicted."""
    status = {
        "node": "n",
        "phase": phase,
        "modelProfile": "model",
        "device": "d",
        "podUid": f"pod-{name}",
        "predicted": {
            "text": "1 s",
            "latencySeconds": 1.0,
            "lowSeconds": 0.9,
            "highSeconds": 1.1,
            "waitSeconds": 0.0,
            "coldStartSeconds": 0.0,
            "runSeconds": 1.0,
            "finishTime": rfc3339(at_s),
        },
        "observed": {
            "text": "",
            "reportedBy": reported_by,
            "latencyMedianSeconds": latency_s,
            "latencyP90Seconds": latency_s,
            "finishTime": rfc3339(at_s),
        },
    }
    return InferenceTask.model_validate(make_itask(name, namespace=namespace, status=status))


def unavailable(call: Call) -> None:
    raise Unavailable("for a moment")


class LearningSetup:
    def __init__(self) -> None:
        self.cluster, self.store, self.clock = FakeCluster(), ObjectCache(), Clock()
        self.metrics = OperatorMetrics.on(CollectorRegistry())
        events = EventRecorder(self.cluster, "test")
        self.devices = DeviceReconciler(self.cluster, self.store, self.metrics, events, self.clock)
        self.store.upsert_device(self.cluster.put(DEVICE_PROFILES, make_device_profile("d", "n")))

    async def learn(self, *tasks: InferenceTask) -> None:
        for task in tasks:
            if (device := self.devices.note(task)) is not None:
                await self.devices.reconcile(device)

    def profile(self) -> Json:
        return self.cluster.one(DEVICE_PROFILES, "d")

    def latencies(self) -> list[float]:
        runs = convert.observed_runs(DeviceProfile.model_validate(self.profile()).status)
        return [run.latency_s for run in runs]

    def drifting(self) -> str:
        return str(self._drift()["status"])

    def drift_reason(self) -> str:
        return str(self._drift()["reason"])

    def _drift(self) -> Json:
        conditions = self.profile()["status"]["conditions"]
        (found,) = (condition for condition in conditions if condition["type"] == "Drifting")
        return dict(found)

    async def measure(self, at_s: float) -> None:
        """Publish a new measurement, which responds to the request for it."""
        requested = self.profile()["spec"].get("reprobe")
        status = {"measuredAt": rfc3339(at_s), "reprobed": requested}
        written = await self.cluster.patch(
            DEVICE_PROFILES, "d", None, {"status": status}, subresource="status"
        )
        self.store.upsert_device(written)
        self.clock.now_s = at_s
        await self.devices.reconcile("d")


def slower(namespace: str, start_s: float = 1.0) -> list[InferenceTask]:
    """Two tasks of a namespace that take twice as long as predicted."""
    return [
        finished(f"{namespace}-{start_s}-{number}", start_s + number, 2.0, namespace=namespace)
        for number in range(2)
    ]


async def test_the_run_of_a_finished_task_is_stored_in_its_device() -> None:
    setup = LearningSetup()

    await setup.learn(finished("a", 1.0, 1.25))

    assert setup.latencies() == [1.25]
    assert setup.profile()["status"]["calibration"] == (
        "1.25 x predicted, median error 20 %, over 1 task"
    )
    assert setup.drifting() == "False"


async def test_a_task_delivered_again_is_not_written_again() -> None:
    setup = LearningSetup()
    await setup.learn(finished("a", 1.0))
    writes = len(setup.cluster.calls)

    await setup.learn(finished("a", 1.0))

    assert len(setup.cluster.calls) == writes


async def test_only_the_newest_runs_are_kept() -> None:
    setup = LearningSetup()

    await setup.learn(*(finished(f"t{at}", float(at), 1 + at / 100) for at in range(9)))

    assert setup.latencies() == [1 + at / 100 for at in range(9 - RUNS_PER_MODEL, 9)]


@pytest.mark.parametrize("phase", ["Failed", "Running"])
async def test_only_successful_runs_are_recorded(phase: str) -> None:
    assert LearningSetup().devices.note(finished("a", 1.0, phase=phase)) is None


async def test_a_run_on_a_deleted_device_is_ignored() -> None:
    setup = LearningSetup()
    setup.store.devices.clear()

    assert setup.devices.note(finished("a", 1.0)) is None


async def test_a_device_drifts_once_two_namespaces_show_it_and_is_probed_again() -> None:
    setup = LearningSetup()

    await setup.learn(finished("a", 1.0, 1.01), *slower("a", 2.0), *slower("b", 3.0))

    assert (setup.drifting(), setup.drift_reason()) == ("True", "LatencyDrift")
    assert setup.latencies() == [1.01, 2.0, 2.0, 2.0, 2.0], "nothing is dropped"
    assert setup.profile()["spec"]["reprobe"] == f"drift-{rfc3339(2.0)}"
    events = setup.cluster.created(EVENTS)
    assert [(event["reason"], event["type"]) for event in events] == [
        ("LatencyDriftUnconfirmed", "Warning"),
        ("LatencyDrift", "Warning"),
    ]
    assert events[0]["metadata"]["namespace"] == "default"
    assert setup.metrics.drifts._value.get() == 1


async def test_one_namespace_alone_is_no_drift_but_the_device_is_probed_again() -> None:
    setup = LearningSetup()

    await setup.learn(finished("h", 0.5, namespace="honest"), *slower("a"))

    entries = {entry["namespace"]: entry for entry in setup.profile()["status"]["namespaces"]}
    assert (setup.drifting(), setup.drift_reason()) == ("False", "LatencyDriftUnconfirmed")
    assert (entries["a"]["drift"], entries["a"]["driftedAt"]) == ("Slower", rfc3339(1.0))
    assert "drift" not in entries["honest"]
    assert setup.profile()["spec"]["reprobe"].startswith("drift-")
    assert setup.metrics.drifts._value.get() == 0


async def test_opposite_drifts_of_two_namespaces_confirm_nothing() -> None:
    setup = LearningSetup()
    faster = [finished(f"f{at}", at, 0.4, namespace="b") for at in (3.0, 4.0)]

    await setup.learn(*slower("a"), *faster)

    assert (setup.drifting(), setup.drift_reason()) == ("False", "LatencyDriftUnconfirmed")


async def test_a_drift_lasts_until_the_device_is_probed_again() -> None:
    setup = LearningSetup()
    await setup.learn(*slower("a"), *slower("b"))
    before = setup.drifting()

    await setup.learn(*(finished(f"t{at}", 4.0 + at, 1.0) for at in range(2 * RUNS_PER_MODEL)))
    still = setup.drifting()
    await setup.measure(100.0)

    assert (before, still, setup.drifting()) == ("True", "True", "False")
    assert setup.metrics.drifts._value.get() == 1, "it is counted once"


async def test_drift_requests_no_probe_within_the_interval_of_the_last() -> None:
    setup = LearningSetup()
    requests = []
    for day in range(4):
        start_s = day * REPROBE_INTERVAL_S / 2 + 1
        setup.clock.now_s = start_s + 2
        await setup.learn(*slower("a", start_s))
        requests.append(setup.profile()["spec"]["reprobe"])
        await setup.measure(start_s + 10)

    assert requests == [
        f"drift-{rfc3339(at_s)}"
        for at_s in (1.0, 1.0, REPROBE_INTERVAL_S + 1, REPROBE_INTERVAL_S + 1)
    ]


async def test_a_drift_within_the_interval_is_measured_when_the_interval_is_over() -> None:
    setup = LearningSetup()
    await setup.learn(*slower("a"))
    await setup.measure(10.0)
    await setup.learn(*slower("a", 20.0))

    wait_s = await setup.devices.reconcile("d")
    assert wait_s is not None
    setup.clock.now_s += wait_s
    await setup.devices.reconcile("d")

    assert setup.profile()["spec"]["reprobe"] == f"drift-{rfc3339(20.0)}"


async def test_a_failed_request_for_another_probe_is_retried() -> None:
    setup = LearningSetup()
    first, second = slower("a")
    await setup.learn(first)
    setup.devices.note(second)

    written: list[Call] = []

    def fails_to_request(call: Call) -> None:
        written.extend([call] if call.kind == DEVICE_PROFILES else [])
        if len(written) == 2:  # after the status
            raise Unavailable("for a moment")

    setup.cluster.before = fails_to_request
    with pytest.raises(Unavailable):
        await setup.devices.reconcile("d")
    before = setup.profile()["spec"].get("reprobe")
    setup.cluster.before = lambda call: None
    await setup.devices.reconcile("d")

    assert before is None
    assert setup.profile()["spec"]["reprobe"] == f"drift-{rfc3339(1.0)}"


async def test_no_second_probe_is_requested_while_one_is_pending() -> None:
    setup = LearningSetup()
    asked = await setup.cluster.patch(DEVICE_PROFILES, "d", None, {"spec": {"reprobe": "please"}})
    setup.store.upsert_device(asked)

    await setup.learn(*slower("a"), *slower("b"))

    assert (setup.drifting(), setup.profile()["spec"]["reprobe"]) == ("True", "please")


async def test_a_completed_and_removed_request_does_not_block_the_next() -> None:
    setup = LearningSetup()
    answered = {"status": {"reprobed": "please"}}
    patched = await setup.cluster.patch(DEVICE_PROFILES, "d", None, answered, subresource="status")
    setup.store.upsert_device(patched)

    await setup.learn(*slower("a"))

    assert setup.profile()["spec"]["reprobe"].startswith("drift-")


async def test_runs_from_before_a_drift_stay_discounted_after_the_new_probe() -> None:
    setup = LearningSetup()
    await setup.learn(finished("old", 1.0, 1.01), *slower("default", 2.0))

    await setup.measure(10.0)

    measured = MeasuredDevice.of(DeviceProfile.model_validate(setup.profile()).status)
    assert measured is not None
    assert setup.latencies() == [1.01, 2.0, 2.0]
    assert [latency.latency_s for latency in measured.histories[0].own] == [2.0]


async def test_other_containers_are_learned_from_only_if_allowed_and_apart() -> None:
    foreign = finished("t", 1.0, 300.0, reported_by="Container")
    setup, allowed = LearningSetup(), LearningSetup()
    allowed.devices.learn_from_containers = True

    await allowed.learn(foreign)

    (observation,) = allowed.profile()["status"]["observations"]
    assert setup.devices.note(foreign) is None
    assert observation["reportedBy"] == "Container"


async def test_drifts_of_other_containers_confirm_nothing_and_request_no_probe() -> None:
    setup = LearningSetup()
    setup.devices.learn_from_containers = True
    foreign = [
        finished(f"{name}{at}", at, 2.0, namespace=name, reported_by="Container")
        for name in ("a", "b", "c")
        for at in (1.0, 2.0)
    ]

    await setup.learn(*foreign)

    assert setup.drifting() == "False"
    assert "reprobe" not in setup.profile()["spec"]


def test_a_run_on_another_node_than_the_devices_is_not_recorded() -> None:
    task = finished("t", 1.0)
    elsewhere = task.model_copy(update={"status": task.status.model_copy(update={"node": "x"})})

    assert LearningSetup().devices.note(elsewhere) is None


async def test_runs_of_a_failed_write_are_written_next_time() -> None:
    setup = LearningSetup()
    device = setup.devices.note(finished("a", 1.0))
    assert device is not None

    setup.cluster.before = unavailable
    with pytest.raises(Unavailable):
        await setup.devices.reconcile(device)
    setup.cluster.before = lambda call: None
    await setup.devices.reconcile(device)

    assert setup.latencies() == [1.0]


async def test_runs_outside_their_intervals_widen_the_intervals() -> None:
    setup = LearningSetup()

    await setup.learn(finished("a", 1.0, 1.05), finished("b", 2.0, 1.2))

    inside, outside = exp(-0.1 * LEARNING_RATE), exp(0.9 * LEARNING_RATE)
    status = setup.profile()["status"]
    assert status["namespaces"][0]["intervalFactor"] == pytest.approx(inside * outside)
    assert status["intervalFactor"] == 1.0, "of other namespaces"


async def test_an_unconfirmed_outlier_is_counted() -> None:
    setup = LearningSetup()

    await setup.learn(finished("a", 1.0, 3.0), finished("b", 2.0, 1.0))

    assert setup.metrics.runs_discounted._value.get() == 1


def test_the_stored_runs_of_a_device_are_bounded_in_bytes() -> None:
    """A namespace has at most 63 characters, a ModelProfile 253, a UID 36."""
    runs = [
        replace(
            RUN,
            task=f"{at:036}",
            model=ModelKey(f"{at % 99:063}/{at // 99:0253}"),
            at_s=float(at),
        )
        for at in range(30 * MAX_RUNS)
    ]

    kept = newest_runs([], runs)
    profile = DeviceProfile.model_validate(make_device_profile("d", "n"))
    status = updated_profile_status(profile, runs, 1e9)

    stored = status.model_dump_json(by_alias=True)
    assert len(kept) == MAX_DEVICE_RUNS
    assert len(stored) < 128 * 1024, "etcd takes 1.5 MiB for an object"


@pytest.mark.parametrize(("seen_s", "expected_s"), [(1e300, 1.0), (1e-300, 1.0), (1.0, 0.0)])
def test_an_invalid_latency_is_not_recorded(seen_s: float, expected_s: float) -> None:
    manifest = finished("t", 1.0, seen_s).model_dump(by_alias=True, mode="json")
    manifest["status"]["predicted"]["latencySeconds"] = expected_s

    assert convert.finished_run(InferenceTask.model_validate(manifest)) is None
