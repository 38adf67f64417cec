"""Namespaces in the simulator: thousands of tasks of one, and ten of another."""

import pickle

from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.policies.shares import Shares
from acesniper.simulator.statistics import run_statistics
from acesniper.simulator.workload import SimulatedWorkload, make_tasks
from simulated import make_cluster, simulate

DEVICES = [[1.0]] * 40


def tasks(namespace: str, count: int, at_s: float) -> list[Task]:
    return [
        Task(TaskKey(f"{namespace}/{number:05d}"), ModelKey("m0"), at_s) for number in range(count)
    ]


def response_s(workload: list[Task], shares: Shares | None) -> float:
    done = [
        item for item in simulate(DEVICES, workload, shares=shares) if item.task.namespace == "few"
    ]
    return sum(item.response_s for item in done) / len(done)


def test_two_thousand_tasks_delay_ten_of_another_namespace_by_at_most_one_task() -> None:
    few = tasks("few", 10, 5.5)
    both = [*tasks("crowd", 2000, 0.0), *few]

    alone_s = response_s(few, Shares())
    together_s = response_s(both, Shares())

    assert alone_s == 1.0
    assert together_s <= 2 * alone_s
    assert response_s(both, None) > 40.0  # without shares


def test_a_workload_has_tasks_of_each_namespace_and_statistics_for_them() -> None:
    cluster = make_cluster(DEVICES)
    workload = SimulatedWorkload(tasks=200, namespaces=(("a", 0.9), ("b", 0.1)))

    drawn = make_tasks(workload, cluster, 1)

    counts = [sum(task.namespace == name for task in drawn) for name in ("a", "b")]
    assert sum(counts) == 200
    assert 160 < counts[0] < 200
    assert [task.created_s for task in drawn] == [
        task.created_s for task in make_tasks(SimulatedWorkload(tasks=200), cluster, 1)
    ]
    statistics = run_statistics(simulate(DEVICES, drawn, shares=Shares({"b": 2.0})))
    assert set(statistics.namespaces) == {"a", "b"}


def test_a_scenario_with_shares_can_be_sent_to_other_processes() -> None:
    shares = Shares({"a": 2.0}, {})

    assert pickle.loads(pickle.dumps((Shares(), shares))) == (Shares(), shares)  # noqa: S301 - own data
