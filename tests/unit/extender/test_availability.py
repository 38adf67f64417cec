"""When a node is free again, asked at once or again and again."""

import pytest

from acesniper.domain.device import DeviceId
from acesniper.domain.reservations import OVERDUE_SHARE, PodUid, Reservation
from acesniper.extender.cache.availability import MAX_STALE_FACTOR
from acesniper.extender.watch_events import WatchEvents
from acesniper.runtime.skipped import UPSERT
from builders import make_pod
from fleets import make_fleet
from virtual_time import Clock

RUN_S = 10.0


@pytest.mark.parametrize("pods", [1, 2], ids=["alone", "two that share a slot"])
def test_a_pod_that_is_overdue_moves_its_end_on_with_the_clock(pods: int) -> None:
    clock = Clock()
    cache = make_fleet({"d1": RUN_S}, clock)
    for number in range(pods):
        pod = make_pod(f"p{number}", node="node-d1", device="d1", started="1970-01-01T00:00:00Z")
        WatchEvents(cache).pod(UPSERT, pod)
    waits = []

    for now_s in (1.0, 9.0, 9.5, 20.0):
        clock.now_s = now_s
        waits.append(cache.free_at_s()["node-d1"] - now_s)

    left = [RUN_S - 1.0, RUN_S - 9.0, OVERDUE_SHARE * 9.5, OVERDUE_SHARE * 20.0]
    assert waits == pytest.approx([pods * left_s for left_s in left])


def test_an_admitted_pod_that_is_not_bound_yet_has_all_its_run_before_it() -> None:
    clock = Clock()
    cache = make_fleet({"d1": RUN_S}, clock)
    WatchEvents(cache).pod(UPSERT, make_pod(device="d1"))

    first = cache.free_at_s()["node-d1"] - clock.now_s
    clock.now_s = 4.0
    later = cache.free_at_s()["node-d1"] - clock.now_s

    assert (first, later) == (RUN_S, RUN_S)


def test_repeated_updates_of_a_long_run_do_not_grow_the_heap() -> None:
    clock = Clock()
    cache = make_fleet({"d1": RUN_S, "d2": RUN_S}, clock)
    for name in ("d1", "d2"):
        WatchEvents(cache).pod(
            UPSERT, make_pod(name, node=f"node-{name}", device=name, phase="Running")
        )

    for news in range(1000):
        cache.ledger.reserve(PodUid("uid-default-d1"), Reservation(DeviceId("d1"), 1e6 + news, 0.0))
        free_at_s = cache.free_at_s()

    assert free_at_s["node-d1"] == 1e6 + 999
    assert free_at_s["node-d2"] == RUN_S
    assert len(cache.availability._expiries) <= MAX_STALE_FACTOR * 2
