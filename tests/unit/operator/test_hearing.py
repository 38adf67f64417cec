"""When the operator must think that a watch is deaf."""

import pytest

from acesniper.operator.hearing import DEAF_S, Hearing
from virtual_time import Clock

BEFORE, AFTER = {"resourceVersion": "1"}, {"resourceVersion": "2"}


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def hearing(clock: Clock) -> Hearing:
    return Hearing(clock)


def test_a_write_that_nobody_tells_of_means_deaf(hearing: Hearing, clock: Clock) -> None:
    hearing.wrote("InferenceTask", BEFORE, AFTER)
    clock.now_s = DEAF_S
    patient = hearing.deaf()
    clock.now_s += 1.0

    assert patient == []
    assert hearing.deaf() == ["InferenceTask"]


def test_later_writes_do_not_excuse_the_first(hearing: Hearing, clock: Clock) -> None:
    hearing.wrote("InferenceTask", BEFORE, AFTER)
    clock.now_s = DEAF_S
    hearing.wrote("InferenceTask", BEFORE, AFTER)
    clock.now_s += 1.0

    assert hearing.deaf() == ["InferenceTask"]


def test_any_event_of_the_kind_shows_that_it_hears(hearing: Hearing, clock: Clock) -> None:
    hearing.wrote("InferenceTask", BEFORE, AFTER)
    hearing.heard("InferenceTask")
    clock.now_s = 10 * DEAF_S

    assert hearing.deaf() == []


def test_a_quiet_cluster_is_not_deaf(hearing: Hearing, clock: Clock) -> None:
    clock.now_s = 10 * DEAF_S

    assert hearing.deaf() == []


def test_a_write_that_changes_nothing_brings_no_event(hearing: Hearing, clock: Clock) -> None:
    hearing.wrote("ModelProfile", BEFORE, BEFORE)
    clock.now_s = 10 * DEAF_S

    assert hearing.deaf() == []
