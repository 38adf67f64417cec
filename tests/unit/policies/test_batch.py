import numpy as np
import pytest

from acesniper.policies.batch import BATCHES, Batch

INF = float("inf")


def assigned(rule: str, busy_s: list[list[float]]) -> list[tuple[int, int]]:
    times = np.array(busy_s)
    batch = Batch(times, np.zeros(times.shape[1]), np.zeros(len(times)))
    return list(BATCHES[rule](batch))


# Three tasks (rows) on two devices: each rule starts with another task.
TASKS = [[4.0, 9.0], [1.0, 3.0], [6.0, 7.0]]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param("min-min", [(1, 0), (0, 0), (2, 1)], id="shortest first"),
        pytest.param("max-min", [(2, 0), (0, 1), (1, 0)], id="longest first"),
        pytest.param("sufferage", [(0, 0), (2, 1), (1, 0)], id="largest loss first"),
    ],
)
def test_a_batch_rule_assigns_tasks_in_its_own_order(
    rule: str, expected: list[tuple[int, int]]
) -> None:
    assert assigned(rule, TASKS) == expected


@pytest.mark.parametrize("rule", BATCHES)
def test_a_task_without_a_feasible_device_is_left_out(rule: str) -> None:
    assert assigned(rule, [[INF, INF], [1.0, INF]]) == [(1, 0)]


@pytest.mark.parametrize("rule", BATCHES)
def test_a_single_lane_gets_all_tasks(rule: str) -> None:
    assert sorted(assigned(rule, [[3.0], [1.0]])) == [(0, 0), (1, 0)]
