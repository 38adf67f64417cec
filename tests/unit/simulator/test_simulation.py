from math import inf

import numpy as np
import pytest

from acesniper.domain.errors import InvalidInput
from acesniper.simulator.simulation import DeviceFault
from acesniper.simulator.statistics import CompletedTask
from simulated import make_arrivals, simulate

FAST_AND_SLOW = [[1.0], [3.5]]

Played = dict[str, tuple[int, float, float]]


def played(finished: list[CompletedTask]) -> Played:
    """Task to its device, start and end."""
    return {
        completed.task.key: (completed.device, completed.started_s, completed.finished_s)
        for completed in finished
    }


def test_a_task_waits_for_the_fast_device_until_the_slow_one_would_finish_it_first() -> None:
    done = played(simulate(FAST_AND_SLOW, make_arrivals(0.0, 0.0, 0.0, 0.0)))

    assert done == {
        "t/0": (0, 0.0, 1.0),
        "t/1": (0, 1.0, 2.0),
        "t/2": (0, 2.0, 3.0),
        "t/3": (1, 0.0, 3.5),
    }


def test_the_fastest_free_device_is_not_waited_for() -> None:
    done = played(simulate(FAST_AND_SLOW, make_arrivals(0.0, 0.5), policy="fastest-free"))

    assert done == {"t/0": (0, 0.0, 1.0), "t/1": (1, 0.5, 4.0)}


def test_a_task_runs_its_true_time_whatever_was_believed() -> None:
    done = played(simulate([[4.0], [2.0]], make_arrivals(0.0), predicted_s=[[1.0], [3.0]]))

    assert done == {"t/0": (0, 0.0, 4.0)}


def test_inferences_multiply_the_latency() -> None:
    [done] = simulate([[0.5]], make_arrivals(1.0, inferences=6))

    assert (done.started_s, done.finished_s) == (1.0, 4.0)


def test_a_task_that_is_overdue_is_waited_for_only_so_long() -> None:
    """As in the extender: a tenth of what it has run is expected to be left of it."""
    done = played(simulate([[20.0], [1.6]], make_arrivals(0.0, 0.5), predicted_s=[[1.0], [1.6]]))

    # At 6.5 s the first device is expected to be free in 0.65 s: 0.65 + 1 is later than 1.6.
    assert done["t/1"] == (1, 6.5, 8.1)


def test_what_ends_at_an_instant_is_over_before_what_arrives_then() -> None:
    done = played(simulate([[1.0], [1.5]], make_arrivals(0.0, 1.0)))

    assert done["t/1"] == (0, 1.0, 2.0)


def test_a_slow_down_stretches_what_is_left() -> None:
    [done] = simulate([[4.0]], make_arrivals(0.0), faults=[DeviceFault(0, 1.0, 3.0, 2.0)])

    assert done.finished_s == 5.0  # 1 s, then 2 s at half the pace, then 2 s


def test_work_on_a_lost_device_is_done_again_elsewhere() -> None:
    [done] = simulate([[4.0], [5.0]], make_arrivals(0.0), faults=[DeviceFault(0, 1.0, 3.0)])

    assert (done.device, done.started_s, done.finished_s, done.attempts) == (1, 1.0, 6.0, 2)


def test_what_ends_at_the_instant_of_a_loss_has_ended() -> None:
    [done] = simulate([[4.0]], make_arrivals(0.0), faults=[DeviceFault(0, 4.0, 6.0)])

    assert (done.finished_s, done.attempts) == (4.0, 1)


def test_tasks_wait_for_the_only_device_to_come_back() -> None:
    done = played(simulate([[4.0]], make_arrivals(0.0, 2.0), faults=[DeviceFault(0, 1.0, 3.0)]))

    assert done == {"t/0": (0, 3.0, 7.0), "t/1": (0, 7.0, 11.0)}


def test_tasks_that_nothing_can_start_are_told_of() -> None:
    with pytest.raises(InvalidInput, match="1 tasks were never started"):
        simulate([[4.0]], make_arrivals(2.0), faults=[DeviceFault(0, 1.0, inf)])


def test_a_queue_on_a_device_is_joined_on_arrival() -> None:
    """The second device is free at 1 s, but the third task has joined the first one's queue."""
    arrivals = make_arrivals(0.0, 0.0, 0.0, 0.0)

    done = played(simulate([[9.0], [1.0]], arrivals, policy="least-loaded-queue"))

    devices = [device for device, _, _ in done.values()]
    assert sorted(devices) == [0, 0, 1, 1]


def test_waits_on_one_device_follow_lindley() -> None:
    """Whatever the distributions: the next waits for what is left of the one before it."""
    draw = np.random.default_rng(0)
    at_s = np.cumsum(draw.exponential(1.0, 300))
    wait_s, work_s = 0.0, 0.9
    expected: list[float] = []
    for gap_s in np.diff(at_s, prepend=0.0):
        wait_s = max(0.0, wait_s + (work_s if expected else 0.0) - gap_s)
        expected.append(wait_s)

    done = simulate([[work_s]], make_arrivals(*at_s.tolist()))

    np.testing.assert_allclose([completed.wait_s for completed in done], expected, atol=1e-9)
