"""Comparison of policies over several seeds, each with its oracle.

The oracle is the same policy on the same tasks, with the true latencies.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import inf

from acesniper.policies.policy import Policy, rule_names
from acesniper.policies.shares import Shares
from acesniper.predictor.tables.measurements import MeasuredTable
from acesniper.simulator.cluster import select_cluster
from acesniper.simulator.latency_source import (
    TRAINED,
    LatencyEstimate,
    LatencySource,
    OnlineLearner,
    latency_rows,
)
from acesniper.simulator.simulation import FaultRates, Simulation
from acesniper.simulator.statistics import (
    CompletedTask,
    RunStatistics,
    mean_statistics,
    run_statistics,
)
from acesniper.simulator.workload import SimulatedWorkload, make_tasks


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """Conditions under which policies are compared; `size` None: all usable devices of the table.

    `aging_s` is that of the policy. By default there is no aging, as it would replace any policy
    that lets tasks wait. With `learn`, estimates are updated from finished tasks. `shares` divide
    the devices between namespaces; None: the policy orders the tasks of all namespaces.
    """

    table: MeasuredTable
    workload: SimulatedWorkload = field(default_factory=SimulatedWorkload)
    faults: FaultRates = field(default_factory=FaultRates)
    size: int | None = None
    aging_s: float = inf
    learn: bool = False
    shares: Shares | None = None


@dataclass(frozen=True, slots=True)
class SimulationJob:
    """One simulation run: policy, predictor and seed."""

    policy: str
    predictor: LatencySource
    seed: int


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """Mean statistics of a policy, and its mean response time divided by that of its oracle."""

    policy: str
    predictor: str
    load: float | None
    statistics: RunStatistics
    response_over_oracle: float


ShowProgress = Callable[[Iterator[RunStatistics], int], Iterable[RunStatistics]]
"""Passes on the results, given their total number, and may show the progress."""


def compared_policies() -> list[str]:
    """The policies to compare: all, with minimum execution time in one order only.

    It places every task on the fastest device, whose queue grows without bound in any order.
    """
    return [name for name in rule_names() if name == "fcfs-met" or not name.endswith("-met")]


def compare(
    scenario: Scenario,
    policies: Sequence[str],
    predictor: LatencySource,
    seeds: Sequence[int],
    processes: int = 1,
    watch: ShowProgress = lambda done, _: done,
) -> list[ComparisonRow]:
    """Compare policies over seeds; returns one row per policy.

    Raises:
        InvalidInput: the table, the trace or the references do not fit each other.
    """
    oracle = LatencySource()
    sides = dict.fromkeys((predictor, oracle))
    jobs = [
        SimulationJob(policy, side, seed) for policy in policies for side in sides for seed in seeds
    ]
    # Fitting takes longer than a run and does not depend on the seed.
    trained = predictor.estimate(scenario.table, 0) if predictor.kind == TRAINED else None
    done = watch(_run_all(partial(_job_statistics, scenario, trained), jobs, processes), len(jobs))
    runs: dict[tuple[str, LatencySource], list[RunStatistics]] = {}
    for job, statistics in zip(jobs, done, strict=True):
        runs.setdefault((job.policy, job.predictor), []).append(statistics)
    return [
        _comparison_row(policy, predictor, scenario, runs[policy, predictor], runs[policy, oracle])
        for policy in policies
    ]


def simulate_policy(
    scenario: Scenario, estimate: LatencyEstimate, policy: str, seed: int
) -> list[CompletedTask]:
    """Simulate one policy on the cluster and tasks of one seed."""
    cluster = select_cluster(scenario.table, scenario.size, seed)
    tasks = make_tasks(scenario.workload, cluster, seed)
    faults = scenario.faults.drawn(len(cluster.devices), tasks[-1].created_s, seed)
    estimates = latency_rows(cluster, estimate, "simulated")
    learner = OnlineLearner(cluster, estimate, estimates) if scenario.learn else None
    rules = Policy(policy, aging_s=scenario.aging_s)
    return Simulation(cluster, estimates, rules, tasks, faults, learner, scenario.shares).run()


def _run_all(
    run: Callable[[SimulationJob], RunStatistics], jobs: Sequence[SimulationJob], processes: int
) -> Iterator[RunStatistics]:
    if processes == 1 or len(jobs) == 1:
        yield from map(run, jobs)
        return
    context = multiprocessing.get_context("spawn")  # fork would copy locks held by other threads
    with ProcessPoolExecutor(min(processes, len(jobs)), context) as pool:
        yield from pool.map(run, jobs)


def _job_statistics(
    scenario: Scenario, trained: LatencyEstimate | None, job: SimulationJob
) -> RunStatistics:
    reusable = trained if job.predictor.kind == TRAINED else None
    estimate = reusable or job.predictor.estimate(scenario.table, job.seed)
    return run_statistics(simulate_policy(scenario, estimate, job.policy, job.seed))


def _comparison_row(
    policy: str,
    predictor: LatencySource,
    scenario: Scenario,
    own: Sequence[RunStatistics],
    oracle: Sequence[RunStatistics],
) -> ComparisonRow:
    statistics = mean_statistics(own)
    ratio = statistics.mean_response_s / mean_statistics(oracle).mean_response_s
    return ComparisonRow(policy, str(predictor), scenario.workload.load, statistics, ratio)
