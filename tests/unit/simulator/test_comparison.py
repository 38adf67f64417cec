from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from acesniper.domain.task import ModelKey, Task, TaskKey
from acesniper.policies.policy import rule_names
from acesniper.simulator.comparison import ComparisonRow, Scenario, compare
from acesniper.simulator.latency_source import LatencySource
from acesniper.simulator.plot import plot_comparison
from acesniper.simulator.simulation import FaultRates
from acesniper.simulator.statistics import (
    CompletedTask,
    RunStatistics,
    mean_statistics,
    run_statistics,
)
from acesniper.simulator.workload import SimulatedWorkload
from synthetic_tables import synthetic

TABLE, _ = synthetic(devices=8, models=12)
SCENARIO = Scenario(TABLE, SimulatedWorkload(150))


def finished(created_s: float, started_s: float, finished_s: float, due_s: float) -> CompletedTask:
    task = Task(TaskKey("t/0"), ModelKey("m"), created_s, deadline_s=due_s)
    return CompletedTask(task, 0, started_s, finished_s)


def test_statistics_of_three_tasks() -> None:
    statistics = run_statistics(
        [
            finished(10.0, 10.0, 11.0, 11.0),
            finished(10.0, 11.0, 14.0, 12.0),
            finished(12.0, 14.0, 16.0, 99.0),
        ]
    )

    assert statistics.mean_wait_s == 1.0
    assert statistics.mean_response_s == 3.0
    assert statistics.p95_wait_s == pytest.approx(1.9)
    assert statistics.p95_response_s == pytest.approx(4.0)
    assert statistics.throughput_per_s == 0.5
    assert statistics.deadline_misses == 1


def test_the_mean_weights_all_runs_equally() -> None:
    one, other = (
        RunStatistics(1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        RunStatistics(3.0, 4.0, 5.0, 6.0, 7.0, 8.0),
    )

    assert mean_statistics([one, other]) == RunStatistics(2.0, 3.0, 4.0, 5.0, 6.0, 7.0)


def test_the_oracle_has_a_ratio_of_one() -> None:
    [row] = compare(SCENARIO, ["fcfs-mct"], LatencySource.parse("true"), [1, 2])

    assert row.response_over_oracle == 1.0


def test_wrong_predictions_cost_only_a_policy_that_uses_them() -> None:
    mct, any_free = compare(
        SCENARIO, ["fcfs-mct", "any-free"], LatencySource.parse("noise:0.8"), [1, 2, 3]
    )

    assert mct.response_over_oracle > 1.1
    assert any_free.response_over_oracle == 1.0


def test_predicted_latencies_reduce_the_response_time() -> None:
    mct, any_free = compare(
        SCENARIO, ["fcfs-mct", "any-free"], LatencySource.parse("trained"), [1, 2]
    )

    assert mct.statistics.mean_response_s < 0.8 * any_free.statistics.mean_response_s


def test_results_do_not_depend_on_the_number_of_processes() -> None:
    case = SCENARIO, ["fcfs-mct"], LatencySource.parse("noise:0.2"), [1, 2]

    assert compare(*case, processes=2) == compare(*case)


def test_lost_and_slow_devices_increase_the_response_time() -> None:
    usual, lossy, slow = (
        compare(
            Scenario(TABLE, SimulatedWorkload(150), faults),
            ["fcfs-mct"],
            LatencySource.parse("true"),
            [1, 2],
        )[0].statistics.mean_response_s
        for faults in (FaultRates(), FaultRates(lost=0.5), FaultRates(slow=0.5, factor=5.0))
    )

    assert lossy > usual
    assert slow > usual


def test_no_device_is_both_lost_and_slow() -> None:
    drawn = FaultRates(lost=0.5, slow=0.25, factor=2.0).drawn(8, 100.0, 1)

    assert len({fault.device for fault in drawn}) == 6
    assert sorted(fault.factor for fault in drawn) == [2.0, 2.0, *[float("inf")] * 4]
    assert {(fault.from_s, fault.to_s) for fault in drawn} == {(30.0, 60.0)}


def test_progress_is_reported_during_a_comparison() -> None:
    totals: list[int] = []
    reported: list[RunStatistics] = []

    def watch(done: Iterator[RunStatistics], total: int) -> Iterator[RunStatistics]:
        totals.append(total)
        for statistics in done:
            reported.append(statistics)
            yield statistics

    (row,) = compare(SCENARIO, ["fcfs-mct"], LatencySource.parse("noise:0.1"), [1], watch=watch)

    assert totals == [2]
    assert len(reported) == 2, "one run with noise, one of its oracle"
    assert reported[0] == row.statistics


@pytest.mark.parametrize("name", ["all.png", "all.svg"])
def test_a_plot_of_all_policies_is_written(tmp_path: Path, name: str) -> None:
    rows = [
        ComparisonRow(policy, "true", 0.9, RunStatistics(*np.arange(1.0, 7.0).tolist()), 1.1)
        for policy in rule_names()
    ]

    plot_comparison(rows, tmp_path / name, "load 0.9")

    assert (tmp_path / name).stat().st_size > 5_000
