from collections.abc import Callable, Iterator

import pytest

from acesniper.domain.device import Reading
from acesniper.probe import timing
from acesniper.probe.timing import Effort, measure

EFFORT = Effort(rounds=3, item_s=0.1, extra_rounds=2, throttled_item_s=1.0, most_s=1e9)


class Machine:
    """A clock that moves only while something runs."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s

    def item(self, durations: Callable[[], float]) -> Callable[[], None]:
        def run() -> None:
            self.now_s += durations()

        return run


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(timing, "time", found)
    return found


def test_a_steady_item_reads_its_duration_without_spread(machine: Machine) -> None:
    found = measure({"a": machine.item(lambda: 0.02)}, EFFORT)

    assert found["a"].seconds == pytest.approx(0.02)
    assert found["a"].spread == pytest.approx(0.0)


def test_bursts_of_noise_do_not_move_the_reading(machine: Machine) -> None:
    durations = _repeat([0.01, 0.01, 0.5, 0.01])

    found = measure({"a": machine.item(lambda: next(durations))}, EFFORT)

    assert found["a"].seconds == pytest.approx(0.01)


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


def test_under_a_quota_the_mean_counts(machine: Machine) -> None:
    durations = _repeat([0.01, 0.01, 0.01, 0.17])

    found = measure({"a": machine.item(lambda: next(durations))}, EFFORT, throttled=True)

    assert found["a"].seconds == pytest.approx(0.05, rel=0.2)


def test_a_busy_device_is_not_measured_for_ever(machine: Machine) -> None:
    busy = Effort(rounds=1000, item_s=0.1, most_s=5.0)

    measure({"a": machine.item(lambda: 0.1)}, busy)

    assert machine.now_s < 7.0


def test_an_item_that_takes_no_time_ends(machine: Machine) -> None:
    assert measure({"a": machine.item(lambda: 0.0)}, EFFORT)["a"] == Reading(0.0, 0.0)


def _repeat(values: list[float]) -> Iterator[float]:
    while True:
        yield from values
