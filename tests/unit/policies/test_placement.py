import numpy as np
import pytest

from acesniper.policies.placement import PLACEMENTS, Lanes, TaskLanes
from builders import make_task

INF = float("inf")


def cost(
    rule: str,
    busy_s: list[float],
    free_s: list[float],
    misfit: list[float] | None = None,
    **lanes: int,
) -> list[float]:
    choice = TaskLanes(make_task(), np.array(busy_s), np.array(misfit or [0.0] * len(busy_s)))
    queued = np.array([int(seconds > 0) for seconds in free_s])
    costs = PLACEMENTS[rule](choice, Lanes(np.array(free_s), queued, **lanes))
    return [float(value) for value in costs]


def test_a_busy_fast_device_is_worth_waiting_for() -> None:
    assert cost("mct", [10.0, 1.0], [0.0, 2.0]) == [10.0, 3.0]


def test_the_fastest_device_is_chosen_however_busy() -> None:
    assert cost("met", [10.0, 1.0], [0.0, 99.0]) == [10.0, 1.0]


def test_the_fastest_free_device_is_never_waited_for() -> None:
    assert cost("fastest-free", [10.0, 1.0], [0.0, 2.0]) == [10.0, INF]


def test_any_free_device_is_one_that_can_run_the_task() -> None:
    assert cost("any-free", [INF, 5.0, 1.0], [0.0, 0.0, 2.0]) == [INF, 0.0, INF]


def test_the_least_loaded_queue_is_the_shortest_in_tasks() -> None:
    costs = cost("least-loaded-queue", [1.0, 50.0, INF], [3.0, 0.0, 0.0])

    assert int(np.argmin(costs)) == 1
    assert costs[2] == INF


def test_the_round_goes_on_where_it_was() -> None:
    assert cost("round-robin-queue", [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], turn=4) == [2.0, 0.0, 1.0]


def test_a_crowded_device_is_left_to_the_tasks_that_it_suits() -> None:
    alone = cost("advantage", [1.0, 1.2], [0.0, 0.0], [0.2, -0.2], behind=0)
    crowded = cost("advantage", [1.0, 1.2], [0.0, 0.0], [0.2, -0.2], behind=2)

    assert alone == [1.0, 1.2]
    assert crowded == pytest.approx([np.exp(0.8), 1.2 * np.exp(-0.8)])


def test_a_run_is_never_counted_as_more_than_e_times_what_it_is() -> None:
    (counted,) = cost("advantage", [1.0], [0.0], [9.0], behind=99)

    assert counted == pytest.approx(np.e)


def test_where_all_devices_suit_alike_the_wait_counts_twice() -> None:
    assert cost("advantage", [10.0, 1.0], [0.0, 2.0], behind=9) == [10.0, 5.0]


@pytest.mark.parametrize("rule", PLACEMENTS)
def test_a_lane_that_cannot_run_the_task_is_never_chosen(rule: str) -> None:
    assert cost(rule, [INF, INF], [0.0, 0.0]) == [INF, INF]
