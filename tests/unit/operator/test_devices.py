import pytest
from prometheus_client import CollectorRegistry

from acesniper.api.names import DEVICE_PROFILES, NODES, SLOT_RESOURCE
from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import DeviceProfile
from acesniper.operator.cache import ObjectCache
from acesniper.operator.device_profiles import STALE_AFTER_S, DeviceReconciler, device_conditions
from acesniper.operator.metrics import OperatorMetrics
from acesniper.runtime.events import EventRecorder
from builders import make_device_profile, make_node
from fake_cluster import FakeCluster
from virtual_time import Clock

DAY_S = 24 * 3600.0


def verdicts(manifest: Json, now_s: float = 0.0) -> dict[str, tuple[str, str]]:
    conditions = device_conditions(DeviceProfile.model_validate(manifest), now_s)
    return {each.type: (each.status, each.reason) for each in conditions}


def test_a_device_that_was_not_measured_is_not_ready() -> None:
    assert verdicts(make_device_profile(pace=None)) == {"Ready": ("False", "NotMeasured")}


def test_a_device_that_was_measured_well_is_ready_recent_and_steady() -> None:
    assert verdicts(make_device_profile()) == {
        "Ready": ("True", "Measured"),
        "Stale": ("False", "ProfileCurrent"),
        "Noisy": ("False", "LowVariance"),
    }


@pytest.mark.parametrize(("spread", "noisy"), [(0.10, "False"), (0.11, "True")])
def test_a_device_whose_readings_spread_is_noisy(spread: float, noisy: str) -> None:
    assert verdicts(make_device_profile(spread=spread))["Noisy"][0] == noisy


@pytest.mark.parametrize(("age_s", "stale"), [(30 * DAY_S, "False"), (30 * DAY_S + 1, "True")])
def test_an_old_measurement_is_stale(age_s: float, stale: str) -> None:
    assert verdicts(make_device_profile(), now_s=age_s)["Stale"][0] == stale


class Setup:
    def __init__(self, *profiles: Json, node: Json | None = None) -> None:
        self.cluster, self.store, self.clock = FakeCluster(), ObjectCache(), Clock()
        self.metrics = OperatorMetrics.on(CollectorRegistry())
        events = EventRecorder(self.cluster, "test")
        self.reconciler = DeviceReconciler(
            self.cluster, self.store, self.metrics, events, self.clock
        )
        for each in profiles:
            self.store.upsert_device(self.cluster.put(DEVICE_PROFILES, each))
        node = node or make_node("n")
        self.store.nodes["n"] = self.cluster.put(NODES, node)

    def slots(self) -> tuple[str | None, str | None]:
        status = self.cluster.one(NODES, "n")["status"]
        capacity, allocatable = status["capacity"], status["allocatable"]
        return capacity.get(SLOT_RESOURCE), allocatable.get(SLOT_RESOURCE)


async def test_conditions_are_written_once_and_looked_at_again_when_they_will_change() -> None:
    setup = Setup(make_device_profile("d", "n"))

    first_s = await setup.reconciler.reconcile("d")
    setup.clock.now_s = DAY_S
    second_s = await setup.reconciler.reconcile("d")

    conditions = setup.cluster.one(DEVICE_PROFILES, "d")["status"]["conditions"]
    assert [each["type"] for each in conditions] == ["Ready", "Stale", "Noisy"]
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


async def test_a_node_that_offers_the_right_slots_is_left_alone() -> None:
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


async def test_a_profile_deleted_while_no_watch_looked_takes_its_slots_along() -> None:
    setup = Setup(make_device_profile("d", "n"), node=make_node("n", slots=1))
    setup.cluster.remove(DEVICE_PROFILES, "d")

    await setup.reconciler.reconcile("d")

    assert setup.store.devices == {}
    assert setup.slots() == ("0", "0")
