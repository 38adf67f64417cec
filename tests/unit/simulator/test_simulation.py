from math import inf

import numpy as np
import pytest

from acesniper.domain.errors import InvalidInput
from acesniper.simulator.simulation import DeviceFault
from acesniper.simulator.statistics import CompletedTask
from simulated import make_arrivals, simulate

FAST_AND_SLOW = [[1.0], [3.5]]

Schedule = dict[str, tuple[int, float, float]]


def schedule(finished: list[CompletedTask]) -> Schedule:
    """Device, start and end of each task."""
    return {
        completed.task.key: (completed.device, completed.started_s, completed.finished_s)
        for completed in finished
    }


def test_a_task_waits_for_the_fast_device_while_it_finishes_first() -> None:
    done = schedule(simulate(FAST_AND_SLOW, make_arrivals(0.0, 0.0, 0.0, 0.0)))

    assert done == {
        "t/0": (0, 0.0, 1.0),
        "t/1": (0, 1.0, 2.0),
        "t/2": (0, 2.0, 3.0),
        "t/3": (1, 0.0, 3.5),
    }


def test_fastest_free_does_not_wait_for_a_busy_device() -> None:
    done = schedule(simulate(FAST_AND_SLOW, make_arrivals(0.0, 0.5), policy="fastest-free"))

    assert done == {"t/0": (0, 0.0, 1.0), "t/1": (1, 0.5, 4.0)}


def test_a_task_runs_for_its_true_time_whatever_the_prediction() -> None:
    done = schedule(simulate([[4.0], [2.0]], make_arrivals(0.0), predicted_s=[[1.0], [3.0]]))

    assert done == {"t/0": (0, 0.0, 4.0)}


def test_inferences_multiply_the_latency() -> None:
    [done] = simulate([[0.5]], make_arrivals(1.0, inferences=6))

    assert (done.started_s, done.finished_s) == (1.0, 4.0)


def test_waiting_for_an_overdue_task_is_bounded() -> None:
    """As in the extender, a tenth of its elapsed time is expected to remain."""
    done = schedule(simulate([[20.0], [1.6]], make_arrivals(0.0, 0.5), predicted_s=[[1.0], [1.6]]))

    # At 6.5 s the first device is expected to be free in 0.65 s; 0.65 + 1 is later than 1.6.
    assert done["t/1"] == (1, 6.5, 8.1)


def test_completions_are_processed_before_arrivals_of_the_same_time() -> None:
    done = schedule(simulate([[1.0], [1.5]], make_arrivals(0.0, 1.0)))

    assert done["t/1"] == (0, 1.0, 2.0)


def test_a_slowdown_stretches_the_remaining_work() -> None:
    [done] = simulate([[4.0]], make_arrivals(0.0), faults=[DeviceFault(0, 1.0, 3.0, 2.0)])

    assert done.finished_s == 5.0  # 1 s, then 2 s at half speed, then 2 s


def test_work_on_a_lost_device_is_repeated_on_another() -> None:
    [done] = simulate([[4.0], [5.0]], make_arrivals(0.0), faults=[DeviceFault(0, 1.0, 3.0)])

    assert (done.device, done.started_s, done.finished_s, done.attempts) == (1, 1.0, 6.0, 2)


def test_a_task_that_ends_at_the_time_of_a_loss_is_completed() -> None:
    [done] = simulate([[4.0]], make_arrivals(0.0), faults=[DeviceFault(0, 4.0, 6.0)])

    assert (done.finished_s, done.attempts) == (4.0, 1)


def test_tasks_wait_for_the_only_device_to_recover() -> None:
    done = schedule(simulate([[4.0]], make_arrivals(0.0, 2.0), faults=[DeviceFault(0, 1.0, 3.0)]))

    assert done == {"t/0": (0, 3.0, 7.0), "t/1": (0, 7.0, 11.0)}


def test_tasks_that_never_started_are_reported() -> None:
    with pytest.raises(InvalidInput, match="1 tasks were never started"):
        simulate([[4.0]], make_arrivals(2.0), faults=[DeviceFault(0, 1.0, inf)])


def test_a_task_joins_the_queue_of_a_device_on_arrival() -> None:
    """The second device is free at 1 s, but the third task has joined the queue of the first."""
    arrivals = make_arrivals(0.0, 0.0, 0.0, 0.0)

    done = schedule(simulate([[9.0], [1.0]], arrivals, policy="least-loaded-queue"))

    devices = [device for device, _, _ in done.values()]
    assert sorted(devices) == [0, 0, 1, 1]


def test_waits_on_one_device_follow_the_lindley_recursion() -> None:
    """A task waits for the remaining wait and work of its predecessor, for any distribution."""
    draw = np.random.default_rng(0)
    arrivals_s = np.cumsum(draw.exponential(1.0, 300))
    wait_s, work_s = 0.0, 0.9
    expected: list[float] = []
    for gap_s in np.diff(arrivals_s, prepend=0.0):
        wait_s = max(0.0, wait_s + (work_s if expected else 0.0) - gap_s)
        expected.append(wait_s)

    done = simulate([[work_s]], make_arrivals(*arrivals_s.tolist()))

    np.testing.assert_allclose([completed.wait_s for completed in done], expected, atol=1e-9)
