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
    task_lanes = TaskLanes(make_task(), np.array(busy_s), np.array(misfit or [0.0] * len(busy_s)))
    queued = np.array([int(seconds > 0) for seconds in free_s])
    costs = PLACEMENTS[rule](task_lanes, Lanes(np.array(free_s), queued, **lanes))
    return [float(value) for value in costs]


def test_mct_includes_the_waiting_time() -> None:
    assert cost("mct", [10.0, 1.0], [0.0, 2.0]) == [10.0, 3.0]


def test_met_ignores_the_waiting_time() -> None:
    assert cost("met", [10.0, 1.0], [0.0, 99.0]) == [10.0, 1.0]


def test_fastest_free_excludes_busy_devices() -> None:
    assert cost("fastest-free", [10.0, 1.0], [0.0, 2.0]) == [10.0, INF]


def test_any_free_excludes_busy_and_infeasible_devices() -> None:
    assert cost("any-free", [INF, 5.0, 1.0], [0.0, 0.0, 2.0]) == [INF, 0.0, INF]


def test_least_loaded_queue_counts_tasks() -> None:
    costs = cost("least-loaded-queue", [1.0, 50.0, INF], [3.0, 0.0, 0.0])

    assert int(np.argmin(costs)) == 1
    assert costs[2] == INF


def test_round_robin_resumes_after_the_previous_placement() -> None:
    assert cost("round-robin-queue", [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], turn=4) == [2.0, 0.0, 1.0]


def test_advantage_weights_misfit_by_the_number_of_tasks_behind() -> None:
    alone = cost("advantage", [1.0, 1.2], [0.0, 0.0], [0.2, -0.2], behind=0)
    crowded = cost("advantage", [1.0, 1.2], [0.0, 0.0], [0.2, -0.2], behind=2)

    assert alone == [1.0, 1.2]
    assert crowded == pytest.approx([np.exp(0.8), 1.2 * np.exp(-0.8)])


def test_advantage_scales_a_run_by_at_most_e() -> None:
    (value,) = cost("advantage", [1.0], [0.0], [9.0], behind=99)

    assert value == pytest.approx(np.e)


def test_advantage_counts_the_wait_twice_without_misfit() -> None:
    assert cost("advantage", [10.0, 1.0], [0.0, 2.0], behind=9) == [10.0, 5.0]


@pytest.mark.parametrize("rule", PLACEMENTS)
def test_an_infeasible_lane_has_infinite_cost(rule: str) -> None:
    assert cost(rule, [INF, INF], [0.0, 0.0]) == [INF, INF]
