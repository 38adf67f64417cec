import json
from dataclasses import replace
from math import exp

import pytest
from prometheus_client import CollectorRegistry

from acesniper.api import convert
from acesniper.api.names import DEVICE_PROFILES, EVENTS
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
from acesniper.operator.device_profiles import DeviceReconciler
from acesniper.operator.metrics import OperatorMetrics
from acesniper.runtime.events import EventRecorder
from builders import make_device_profile, make_itask
from fake_cluster import Call, FakeCluster
from virtual_time import Clock

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


class Setup:
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

    def remembered(self) -> list[float]:
        found = convert.observed_runs(DeviceProfile.model_validate(self.profile()).status)
        return [run.latency_s for run in found]

    def drifting(self) -> str:
        conditions = self.profile()["status"]["conditions"]
        return next(str(each["status"]) for each in conditions if each["type"] == "Drifting")


async def test_a_finished_task_is_remembered_by_its_device() -> None:
    setup = Setup()

    await setup.learn(finished("a", 1.0, 1.25))

    assert setup.remembered() == [1.25]
    assert setup.profile()["status"]["calibration"] == (
        "1.25 x predicted, median error 20 %, over 1 task"
    )
    assert setup.drifting() == "False"


async def test_a_task_that_is_seen_again_is_not_written_again() -> None:
    setup = Setup()
    await setup.learn(finished("a", 1.0))
    writes = len(setup.cluster.calls)

    await setup.learn(finished("a", 1.0))

    assert len(setup.cluster.calls) == writes


async def test_the_newest_tasks_stay() -> None:
    setup = Setup()

    await setup.learn(*(finished(f"t{at}", float(at), 1 + at / 100) for at in range(9)))

    assert setup.remembered() == [1 + at / 100 for at in range(9 - RUNS_PER_MODEL, 9)]


@pytest.mark.parametrize("phase", ["Failed", "Running"])
async def test_only_success_teaches(phase: str) -> None:
    assert Setup().devices.note(finished("a", 1.0, phase=phase)) is None


async def test_a_task_of_a_device_that_is_gone_teaches_nobody() -> None:
    setup = Setup()
    setup.store.devices.clear()

    assert setup.devices.note(finished("a", 1.0)) is None


async def test_a_device_that_became_slower_is_probed_again_and_forgets_what_it_was() -> None:
    setup = Setup()

    await setup.learn(
        finished("a", 1.0, 1.01),
        finished("b", 2.0, 2.0),
        finished("c", 3.0, 2.1),
        finished("d", 4.0, 2.0),
    )

    assert setup.remembered() == [2.0, 2.1, 2.0]
    assert setup.drifting() == "True"
    assert setup.profile()["spec"]["reprobe"].startswith("drift-")
    (told,) = setup.cluster.created(EVENTS)
    assert (told["reason"], told["type"]) == ("LatencyDrift", "Warning")
    assert told["metadata"]["namespace"] == "default"
    assert setup.metrics.drifts._value.get() == 1


async def test_a_device_drifts_until_it_is_measured_anew_whatever_is_forgotten_meanwhile() -> None:
    setup = Setup()
    await setup.learn(finished("a", 1.0, 2.0), finished("b", 2.0, 2.0))
    before = setup.drifting()

    await setup.learn(*(finished(f"t{at}", 3.0 + at, 1.0) for at in range(2 * RUNS_PER_MODEL)))

    assert (before, setup.drifting()) == ("True", "True")
    assert setup.metrics.drifts._value.get() == 1, "it is asked for once"


async def test_a_node_is_asked_to_measure_itself_even_if_that_fails_at_first() -> None:
    setup = Setup()
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


async def test_a_node_that_is_to_measure_itself_anyway_is_not_asked_again() -> None:
    setup = Setup()
    asked = await setup.cluster.patch(DEVICE_PROFILES, "d", None, {"spec": {"reprobe": "please"}})
    setup.store.upsert_device(asked)

    await setup.learn(finished("a", 1.0, 2.0), finished("b", 2.0, 2.0))

    assert (setup.drifting(), setup.profile()["spec"]["reprobe"]) == ("True", "please")


async def test_a_wish_that_was_answered_and_taken_back_hinders_no_other() -> None:
    setup = Setup()
    answered = {"status": {"reprobed": "please"}}
    known = await setup.cluster.patch(DEVICE_PROFILES, "d", None, answered, subresource="status")
    setup.store.upsert_device(known)

    await setup.learn(finished("a", 1.0, 2.0), finished("b", 2.0, 2.0))

    assert setup.profile()["spec"]["reprobe"].startswith("drift-")


async def test_after_the_new_measurement_nothing_old_comes_back() -> None:
    setup = Setup()
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
    assert setup.remembered() == [2.0, 2.0]


async def test_what_could_not_be_written_is_written_next_time() -> None:
    setup = Setup()
    device = setup.devices.note(finished("a", 1.0))
    assert device is not None

    setup.cluster.before = unavailable
    with pytest.raises(Unavailable):
        await setup.devices.reconcile(device)
    setup.cluster.before = lambda call: None
    await setup.devices.reconcile(device)

    assert setup.remembered() == [1.0]


async def test_a_device_whose_tasks_end_outside_their_intervals_gets_wider_ones() -> None:
    setup = Setup()

    await setup.learn(finished("a", 1.0, 1.05), finished("b", 2.0, 1.2))

    inside, outside = exp(-0.1 * LEARNING_RATE), exp(0.9 * LEARNING_RATE)
    assert setup.profile()["status"]["intervalFactor"] == pytest.approx(inside * outside)


async def test_a_run_that_nothing_confirms_is_counted_as_doubted() -> None:
    setup = Setup()

    await setup.learn(finished("a", 1.0, 3.0), finished("b", 2.0, 1.0))

    assert setup.metrics.runs_discounted._value.get() == 1


def test_what_a_device_remembers_is_bounded_in_bytes() -> None:
    """A namespace has at most 63 characters, a ModelProfile 253, a UID 36."""
    runs = [
        replace(RUN, task=f"{at:036}", model=ModelKey(f"{at:063}/{'m' * 253}"), at_s=float(at))
        for at in range(3 * MAX_RUNS)
    ]

    kept = convert.to_observations(newest_runs([], runs))

    stored = [each.model_dump(by_alias=True, mode="json") for each in kept]
    assert len(json.dumps(stored)) < 64 * 1024, "etcd takes 1.5 MiB for an object"


@pytest.mark.parametrize(("seen_s", "expected_s"), [(1e300, 1.0), (1e-300, 1.0), (1.0, 0.0)])
def test_nothing_is_learned_of_what_is_no_latency(seen_s: float, expected_s: float) -> None:
    told = finished("t", 1.0, seen_s).model_dump(by_alias=True, mode="json")
    told["status"]["predicted"]["latencySeconds"] = expected_s

    assert convert.finished_run(InferenceTask.model_validate(told)) is None
