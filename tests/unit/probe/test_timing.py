import gc
import itertools
from collections.abc import Iterator

import pytest

from acesniper.domain.device import Reading
from acesniper.probe.measure import ProbeEffort, measure
from machine import Machine, make_machine

EFFORT = ProbeEffort(rounds=3, item_s=0.1, extra_rounds=2, throttled_item_s=1.0, most_s=1e9)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return make_machine(monkeypatch)


def test_a_steady_item_reads_its_duration_without_spread(machine: Machine) -> None:
    found = measure({"a": machine.item(lambda: 0.02)}, EFFORT)

    assert found["a"].seconds == pytest.approx(0.02)
    assert found["a"].spread == pytest.approx(0.0)


def test_bursts_of_noise_do_not_move_the_reading(machine: Machine) -> None:
    durations = _repeat([0.01, 0.01, 0.5, 0.01])

    found = measure({"a": machine.item(lambda: next(durations))}, EFFORT)

    assert found["a"].seconds == pytest.approx(0.01)


def test_most_runs_interrupted_leave_the_others_to_speak(machine: Machine) -> None:
    item = machine.interrupted(lambda: 0.01, itertools.cycle([0.03, 0.02, 0.03, 0.0]))

    found = measure({"a": item}, EFFORT)

    assert found["a"].seconds == pytest.approx(0.01)


def test_where_every_run_is_interrupted_the_time_of_one_thread_counts(machine: Machine) -> None:
    item = machine.interrupted(lambda: 0.01, itertools.repeat(0.03))

    one_thread = measure({"a": item}, EFFORT, alone=True)
    several = measure({"a": item}, EFFORT)

    assert one_thread["a"].seconds == pytest.approx(0.01)
    assert several["a"].seconds == pytest.approx(0.04)


def test_a_round_during_which_the_sentinel_moved_is_repeated(machine: Machine) -> None:
    slow_until_s = 2.0

    def duration() -> float:
        return 0.05 if machine.now_s < slow_until_s else 0.01

    found = measure(
        {"a": machine.item(duration), "long": machine.item(lambda: 1.5)},
        EFFORT,
        sentinel=machine.item(duration),
    )

    assert found["a"].seconds == pytest.approx(0.01)


def test_rounds_that_are_evenly_slow_are_not_quiet(machine: Machine) -> None:
    def duration() -> float:
        return 0.02 if 3.0 < machine.now_s < 16.0 else 0.01

    found = measure(
        {"a": machine.item(duration), "long": machine.item(lambda: 2.0)},
        ProbeEffort(rounds=3, item_s=0.1, extra_rounds=4, most_s=1e9),
        sentinel=machine.item(duration),
    )

    assert found["a"].seconds == pytest.approx(0.01)


def test_an_item_is_not_judged_by_its_first_run(machine: Machine) -> None:
    cold_then_warm = _repeat([3.0, 1.0])

    found = measure({"a": machine.item(lambda: next(cold_then_warm))}, EFFORT)

    assert found["a"].seconds < 1.5


def test_a_busy_device_is_not_measured_for_ever(machine: Machine) -> None:
    busy = ProbeEffort(rounds=1000, item_s=0.1, most_s=5.0)

    measure({"a": machine.interrupted(lambda: 0.01, itertools.repeat(0.09))}, busy)

    assert machine.now_s < 7.0


def test_an_item_that_takes_no_time_ends(machine: Machine) -> None:
    assert measure({"a": machine.item(lambda: 0.0)}, EFFORT)["a"] == Reading(0.0, 0.0)


def test_garbage_waits_until_all_is_measured(machine: Machine) -> None:
    seen = []

    def duration() -> float:
        seen.append(gc.isenabled())
        return 0.2

    measure({"a": machine.item(duration)}, EFFORT)

    assert not any(seen[2:])
    assert gc.isenabled()


def _repeat(values: list[float]) -> Iterator[float]:
    while True:
        yield from values
