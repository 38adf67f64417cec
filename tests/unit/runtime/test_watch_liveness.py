"""Detection of stalled watches that deliver no bookmarks."""

from acesniper.runtime.watch import STALLED_AFTER_S, WatchLiveness
from virtual_time import Clock


def test_a_quiet_cluster_is_not_stalled() -> None:
    clock = Clock()
    liveness = WatchLiveness(clock)

    liveness.received("Pod")
    clock.now_s += 10 * STALLED_AFTER_S

    assert liveness.stalled() == []


def test_a_watch_is_stalled_if_an_expected_event_does_not_arrive() -> None:
    clock = Clock()
    liveness = WatchLiveness(clock)

    liveness.expect("Pod")
    clock.now_s += STALLED_AFTER_S
    in_time = liveness.stalled()
    clock.now_s += 1.0

    assert in_time == []
    assert liveness.stalled() == ["Pod"]


def test_the_first_of_several_writes_starts_the_timeout() -> None:
    clock = Clock()
    liveness = WatchLiveness(clock)

    liveness.expect("Pod")
    clock.now_s += STALLED_AFTER_S
    liveness.expect("Pod")
    clock.now_s += 1.0

    assert liveness.stalled() == ["Pod"]


def test_any_event_of_the_kind_resets_the_timeout_and_others_do_not() -> None:
    clock = Clock()
    liveness = WatchLiveness(clock)

    liveness.expect("Pod")
    liveness.expect("Node")
    clock.now_s += STALLED_AFTER_S + 1.0
    liveness.received("Pod")

    assert liveness.stalled() == ["Node"]
