"""Cases that chance seldom meets."""

from acesniper.api.decision import Decision
from acesniper.api.units import rfc3339
from acesniper.domain.device import DeviceId
from acesniper.domain.prediction import FinishEstimate
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.reservations import MAX_EXPECTED_S, REPORTED_SLOWDOWN
from acesniper.extender.latency_table import LatencyTable
from acesniper.extender.watch_events import WatchEvents
from acesniper.runtime.skipped import UPSERT
from builders import (
    TEST_KEY,
    WorkPredictor,
    make_device,
    make_device_profile,
    make_itask,
    make_node,
    make_pod,
    make_prediction,
    make_task,
)
from virtual_time import Clock


def test_a_device_may_be_named_like_its_node() -> None:
    cache = ClusterCache(LatencyTable(WorkPredictor()), Clock(), key=TEST_KEY)
    WatchEvents(cache).node(UPSERT, make_node("same"))
    WatchEvents(cache).device_profile(UPSERT, make_device_profile("same", "same"))
    running = make_pod(node="same", device="same")

    WatchEvents(cache).pod(UPSERT, running)
    busy = cache.ledger.backlog_s(DeviceId("same"), 0.0)
    WatchEvents(cache).pod(UPSERT, {**running, "status": {"phase": "Succeeded"}})

    assert busy > 0.0
    assert len(cache.ledger) == 0


def test_a_runner_that_is_slower_than_predicted_lengthens_its_devices_backlog() -> None:
    clock = Clock(1000.0)
    cache = ClusterCache(LatencyTable(WorkPredictor()), clock, key=TEST_KEY)
    WatchEvents(cache).node(UPSERT, make_node("n"))
    WatchEvents(cache).device_profile(UPSERT, make_device_profile("d", "n"))
    WatchEvents(cache).pod(UPSERT, make_pod(uid="u", node="n", device="d", phase="Running"))
    clock.now_s = 1060.0
    progress = {"text": "", "done": 20, "total": 100, "runSeconds": 50.0}
    progress["seenAt"] = rfc3339(clock.now_s)
    status = {"phase": "Running", "podUid": "u", "progress": progress}

    WatchEvents(cache).task(UPSERT, make_itask("task", status=status, inferences=100))
    told_s = cache.ledger.backlog_s(DeviceId("d"), clock.now_s)
    clock.now_s = 1160.0
    later_s = cache.ledger.backlog_s(DeviceId("d"), clock.now_s)

    assert told_s == 200.0
    assert later_s == 100.0


def test_a_forged_progress_report_lengthens_the_backlog_within_a_bound() -> None:
    clock = Clock(1000.0)
    cache = ClusterCache(LatencyTable(WorkPredictor()), clock, key=TEST_KEY)
    WatchEvents(cache).node(UPSERT, make_node("n"))
    WatchEvents(cache).device_profile(UPSERT, make_device_profile("d", "n"))
    WatchEvents(cache).pod(UPSERT, make_pod(uid="u", node="n", device="d", phase="Running"))
    expected_s = cache.ledger.backlog_s(DeviceId("d"), clock.now_s)
    progress = {"text": "", "done": 1, "total": 10**9, "runSeconds": 1e9}
    progress["seenAt"] = rfc3339(clock.now_s)
    status = {"phase": "Running", "podUid": "u", "progress": progress}

    WatchEvents(cache).task(UPSERT, make_itask("task", status=status, inferences=10**9))

    backlog_s = cache.ledger.backlog_s(DeviceId("d"), clock.now_s)
    assert backlog_s == REPORTED_SLOWDOWN * expected_s


def test_an_unbounded_expected_time_leaves_backlogs_finite() -> None:
    cache = ClusterCache(LatencyTable(WorkPredictor()), Clock(), key=TEST_KEY)
    WatchEvents(cache).node(UPSERT, make_node("n"))
    WatchEvents(cache).device_profile(UPSERT, make_device_profile("d", "n"))
    for_ever = FinishEstimate(make_device("d", "n"), make_prediction(1e20), 10**9)
    decision = Decision.of(make_task().key, (for_ever,), 0.0, "fcfs-mct", {})

    WatchEvents(cache).pod(UPSERT, make_pod(node="n", device="d", decision=decision))

    assert cache.ledger.backlog_s(DeviceId("d"), 0.0) == MAX_EXPECTED_S
