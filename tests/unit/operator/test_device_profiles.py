import json
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
    MAX_RUNS,
    RUNS_PER_MODEL,
    ObservedRun,
    newest_runs,
)
from acesniper.domain.task import ModelKey
from acesniper.operator.cache import ObjectCache
from acesniper.operator.device_profiles import STALE_AFTER_S, DeviceReconciler, device_conditions
from acesniper.operator.metrics import OperatorMetrics
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
    name: str, at_s: float, latency_s: float = 1.0, phase: str = "Succeeded"
) -> InferenceTask:
    """A task that took `latency_s` where 1 s was predicted."""
    status = {
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
            "latencyMedianSeconds": latency_s,
            "latencyP90Seconds": latency_s,
            "finishTime": rfc3339(at_s),
        },
    }
    return InferenceTask.model_validate(make_itask(name, status=status))


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
        conditions = self.profile()["status"]["conditions"]
        return next(
            str(condition["status"]) for condition in conditions if condition["type"] == "Drifting"
        )


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


async def test_a_slower_device_is_probed_again_and_drops_older_runs() -> None:
    setup = LearningSetup()

    await setup.learn(
        finished("a", 1.0, 1.01),
        finished("b", 2.0, 2.0),
        finished("c", 3.0, 2.1),
        finished("d", 4.0, 2.0),
    )

    assert setup.latencies() == [2.0, 2.1, 2.0]
    assert setup.drifting() == "True"
    assert setup.profile()["spec"]["reprobe"].startswith("drift-")
    (event,) = setup.cluster.created(EVENTS)
    assert (event["reason"], event["type"]) == ("LatencyDrift", "Warning")
    assert event["metadata"]["namespace"] == "default"
    assert setup.metrics.drifts._value.get() == 1


async def test_a_device_drifts_until_it_is_probed_again_even_if_runs_are_dropped() -> None:
    setup = LearningSetup()
    await setup.learn(finished("a", 1.0, 2.0), finished("b", 2.0, 2.0))
    before = setup.drifting()

    await setup.learn(*(finished(f"t{at}", 3.0 + at, 1.0) for at in range(2 * RUNS_PER_MODEL)))

    assert (before, setup.drifting()) == ("True", "True")
    assert setup.metrics.drifts._value.get() == 1, "it is asked for once"


async def test_a_failed_request_for_another_probe_is_retried() -> None:
    setup = LearningSetup()
    await setup.learn(finished("a", 1.0, 2.0))
    setup.devices.note(finished("b", 2.0, 2.0))
    writes = 0

    def fails_at_the_second(call: Call) -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise Unavailable("for a moment")

    setup.cluster.before = fails_at_the_second
    with pytest.raises(Unavailable):
        await setup.devices.reconcile("d")
    before = setup.profile()["spec"].get("reprobe")
    await setup.devices.reconcile("d")
    await setup.devices.reconcile("d")

    assert (before, setup.drifting()) == (None, "True")
    assert setup.profile()["spec"]["reprobe"] == f"drift-{rfc3339(1.0)}"
    assert setup.metrics.drifts._value.get() == 1, "it is asked for once"


async def test_no_second_probe_is_requested_while_one_is_pending() -> None:
    setup = LearningSetup()
    asked = await setup.cluster.patch(DEVICE_PROFILES, "d", None, {"spec": {"reprobe": "please"}})
    setup.store.upsert_device(asked)

    await setup.learn(finished("a", 1.0, 2.0), finished("b", 2.0, 2.0))

    assert (setup.drifting(), setup.profile()["spec"]["reprobe"]) == ("True", "please")


async def test_a_completed_and_removed_request_does_not_block_the_next() -> None:
    setup = LearningSetup()
    answered = {"status": {"reprobed": "please"}}
    patched = await setup.cluster.patch(DEVICE_PROFILES, "d", None, answered, subresource="status")
    setup.store.upsert_device(patched)

    await setup.learn(finished("a", 1.0, 2.0), finished("b", 2.0, 2.0))

    assert setup.profile()["spec"]["reprobe"].startswith("drift-")


async def test_runs_from_before_the_new_probe_do_not_return() -> None:
    setup = LearningSetup()
    old = finished("a", 1.0, 1.01)
    await setup.learn(old, finished("b", 2.0, 2.0), finished("c", 3.0, 2.0))
    measured = make_device_profile("d", "n", measured_at=rfc3339(10.0))["status"]
    written = await setup.cluster.patch(
        DEVICE_PROFILES, "d", None, {"status": {"measuredAt": measured["measuredAt"]}}, "status"
    )
    setup.store.upsert_device(written)

    await setup.devices.reconcile("d")
    await setup.learn(old)

    assert setup.drifting() == "False"
    assert setup.latencies() == [2.0, 2.0]


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
    assert setup.profile()["status"]["intervalFactor"] == pytest.approx(inside * outside)


async def test_an_unconfirmed_outlier_is_counted() -> None:
    setup = LearningSetup()

    await setup.learn(finished("a", 1.0, 3.0), finished("b", 2.0, 1.0))

    assert setup.metrics.runs_discounted._value.get() == 1


def test_the_stored_runs_of_a_device_are_bounded_in_bytes() -> None:
    """A namespace has at most 63 characters, a ModelProfile 253, a UID 36."""
    runs = [
        replace(RUN, task=f"{at:036}", model=ModelKey(f"{at:063}/{'m' * 253}"), at_s=float(at))
        for at in range(3 * MAX_RUNS)
    ]

    kept = convert.to_observations(newest_runs([], runs))

    stored = [observation.model_dump(by_alias=True, mode="json") for observation in kept]
    assert len(json.dumps(stored)) < 64 * 1024, "etcd takes 1.5 MiB for an object"


@pytest.mark.parametrize(("seen_s", "expected_s"), [(1e300, 1.0), (1e-300, 1.0), (1.0, 0.0)])
def test_an_invalid_latency_is_not_recorded(seen_s: float, expected_s: float) -> None:
    manifest = finished("t", 1.0, seen_s).model_dump(by_alias=True, mode="json")
    manifest["status"]["predicted"]["latencySeconds"] = expected_s

    assert convert.finished_run(InferenceTask.model_validate(manifest)) is None
