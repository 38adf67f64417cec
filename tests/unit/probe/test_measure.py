import gc
import itertools
from collections.abc import Iterator

import pytest

from acesniper.domain.device import Reading
from acesniper.probe.measure import ProbeEffort, cores_allowed, mean_s, measure
from machine import Machine, make_machine

QUOTA_EFFORT = ProbeEffort(rounds=4, item_s=0.02, throttled_item_s=0.5, meter_s=2.0)
EFFORT = ProbeEffort(rounds=3, item_s=0.1, extra_rounds=2, throttled_item_s=1.0, most_s=1e9)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return make_machine(monkeypatch)


def test_a_steady_item_reads_its_duration_without_spread(machine: Machine) -> None:
    readings = measure({"a": machine.item(lambda: 0.02)}, EFFORT)

    assert readings["a"].seconds == pytest.approx(0.02)
    assert readings["a"].spread == pytest.approx(0.0)


def test_bursts_of_noise_do_not_move_the_reading(machine: Machine) -> None:
    durations = _repeat([0.01, 0.01, 0.5, 0.01])

    readings = measure({"a": machine.item(lambda: next(durations))}, EFFORT)

    assert readings["a"].seconds == pytest.approx(0.01)


def test_uninterrupted_runs_count_even_if_most_are_interrupted(machine: Machine) -> None:
    item = machine.interrupted(lambda: 0.01, itertools.cycle([0.03, 0.02, 0.03, 0.0]))

    readings = measure({"a": item}, EFFORT)

    assert readings["a"].seconds == pytest.approx(0.01)


def test_cpu_time_counts_if_every_run_is_interrupted(machine: Machine) -> None:
    item = machine.interrupted(lambda: 0.01, itertools.repeat(0.03))

    one_thread = measure({"a": item}, EFFORT, alone=True)
    several = measure({"a": item}, EFFORT)

    assert one_thread["a"].seconds == pytest.approx(0.01)
    assert several["a"].seconds == pytest.approx(0.04)


def test_a_round_with_a_slow_sentinel_is_repeated(machine: Machine) -> None:
    slow_until_s = 2.0

    def duration() -> float:
        return 0.05 if machine.now_s < slow_until_s else 0.01

    readings = measure(
        {"a": machine.item(duration), "long": machine.item(lambda: 1.5)},
        EFFORT,
        sentinel=machine.item(duration),
    )

    assert readings["a"].seconds == pytest.approx(0.01)


def test_rounds_that_are_evenly_slow_are_not_quiet(machine: Machine) -> None:
    def duration() -> float:
        return 0.02 if 3.0 < machine.now_s < 16.0 else 0.01

    readings = measure(
        {"a": machine.item(duration), "long": machine.item(lambda: 2.0)},
        ProbeEffort(rounds=3, item_s=0.1, extra_rounds=4, most_s=1e9),
        sentinel=machine.item(duration),
    )

    assert readings["a"].seconds == pytest.approx(0.01)


def test_the_first_run_of_an_item_does_not_count(machine: Machine) -> None:
    cold_then_warm = _repeat([3.0, 1.0])

    readings = measure({"a": machine.item(lambda: next(cold_then_warm))}, EFFORT)

    assert readings["a"].seconds < 1.5


def test_measuring_a_busy_device_ends(machine: Machine) -> None:
    busy = ProbeEffort(rounds=1000, item_s=0.1, most_s=5.0)

    measure({"a": machine.interrupted(lambda: 0.01, itertools.repeat(0.09))}, busy)

    assert machine.now_s < 7.0


def test_measuring_an_item_of_no_duration_ends(machine: Machine) -> None:
    assert measure({"a": machine.item(lambda: 0.0)}, EFFORT)["a"] == Reading(0.0, 0.0)


def test_garbage_collection_is_off_during_a_measurement(machine: Machine) -> None:
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


@pytest.mark.parametrize("quota_s", [0.03, 0.05, 0.08])
def test_the_allowed_share_is_measured_to_a_percent(machine: Machine, quota_s: float) -> None:
    machine.now_s = 0.017  # somewhere within a period

    result = cores_allowed(machine.limited(lambda: 0.0007, quota_s), 2.0, None)

    assert result == pytest.approx(quota_s / 0.1, rel=0.01)


def test_a_process_that_is_never_stopped_gets_what_it_uses(machine: Machine) -> None:
    assert cores_allowed(machine.item(lambda: 0.01), 1.0, None) == pytest.approx(1.0)


def test_contention_is_not_mistaken_for_the_quota(machine: Machine) -> None:
    contended = machine.limited(lambda: 0.001, 0.02)

    assert cores_allowed(contended, 2.0, 0.5) == 0.5
    assert cores_allowed(contended, 2.0, 0.21) == pytest.approx(0.2, rel=0.01)


@pytest.mark.parametrize("duration_s", [0.0005, 0.003, 0.02])
def test_the_mean_is_over_whole_periods(machine: Machine, duration_s: float) -> None:
    machine.now_s = 0.041

    result = mean_s(machine.limited(lambda: duration_s, 0.03), 0.55)

    assert result == pytest.approx(duration_s / 0.3, rel=0.12)


def test_readings_under_a_quota_are_long_run_means(machine: Machine) -> None:
    items = {
        "short": machine.limited(lambda: 0.0002, 0.03),
        "long": machine.limited(lambda: 0.04, 0.03),
    }

    readings = measure(
        items, QUOTA_EFFORT, throttled=True, sentinel=machine.limited(lambda: 0.001, 0.03)
    )

    assert readings["short"].seconds == pytest.approx(0.0002 / 0.3, rel=0.02)
    assert readings["long"].seconds == pytest.approx(0.04 / 0.3, rel=0.02)


def test_an_item_alone_under_a_quota_reads_its_mean(machine: Machine) -> None:
    readings = measure({"a": machine.limited(lambda: 0.002, 0.05)}, QUOTA_EFFORT, throttled=True)

    assert readings["a"].seconds == pytest.approx(0.004, rel=0.1)
    assert readings["a"].spread == 0.0


def test_an_item_below_its_share_is_not_slowed(machine: Machine) -> None:
    def mostly_waiting() -> None:
        machine.now_s += 0.01
        machine.cpu_s += 0.001

    readings = measure(
        {"a": mostly_waiting},
        QUOTA_EFFORT,
        throttled=True,
        sentinel=machine.limited(lambda: 0.001, 0.05),
    )

    assert readings["a"].seconds == pytest.approx(0.01)
