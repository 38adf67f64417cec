"""Policies side by side, over seeds, each next to its oracle.

The oracle is the same policy on the same tasks with the true latencies.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import inf

from acesniper.policies.policy import Policy, rule_names
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
    """What every policy is put through; `size` None takes all devices the table allows.

    A task that has waited for `aging_s` goes first, to where it finishes first. By default none
    does: aging would turn any policy that lets tasks wait into another. With `learn` beliefs follow
    what finished tasks took.
    """

    table: MeasuredTable
    workload: SimulatedWorkload = field(default_factory=SimulatedWorkload)
    faults: FaultRates = field(default_factory=FaultRates)
    size: int | None = None
    aging_s: float = inf
    learn: bool = False


@dataclass(frozen=True, slots=True)
class SimulationJob:
    """One run."""

    policy: str
    predictor: LatencySource
    seed: int


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """A policy's figures, means over the seeds, and its mean response over its oracle's."""

    policy: str
    predictor: str
    load: float | None
    statistics: RunStatistics
    response_over_oracle: float


ShowProgress = Callable[[Iterator[RunStatistics], int], Iterable[RunStatistics]]
"""Passes on what is done, of so many, and may show it."""


def compared_policies() -> list[str]:
    """The policies to set side by side: all, but of minimum execution time one is enough.

    It sends every task to the fastest device, whose queue grows for ever in any order.
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
    """A line for each policy.

    Raises:
        InvalidInput: the table, the trace or the references do not fit each other.
    """
    oracle = LatencySource()
    sides = dict.fromkeys((predictor, oracle))
    jobs = [
        SimulationJob(policy, side, seed) for policy in policies for side in sides for seed in seeds
    ]
    # Fitting takes longer than a run and is the same for all.
    trained = predictor.believes(scenario.table, 0) if predictor.kind == TRAINED else None
    done = watch(_played(partial(_figures, scenario, trained), jobs, processes), len(jobs))
    found: dict[tuple[str, LatencySource], list[RunStatistics]] = {}
    for job, each in zip(jobs, done, strict=True):
        found.setdefault((job.policy, job.predictor), []).append(each)
    return [
        _line(policy, predictor, scenario, found[policy, predictor], found[policy, oracle])
        for policy in policies
    ]


def simulate_policy(
    scenario: Scenario, belief: LatencyEstimate, policy: str, seed: int
) -> list[CompletedTask]:
    """One policy on one seed's cluster and tasks."""
    cluster = select_cluster(scenario.table, scenario.size, seed)
    tasks = make_tasks(scenario.workload, cluster, seed)
    faults = scenario.faults.drawn(len(cluster.devices), tasks[-1].created_s, seed)
    believed = latency_rows(cluster, belief, "simulated")
    learner = OnlineLearner(cluster, belief, believed) if scenario.learn else None
    rules = Policy(policy, aging_s=scenario.aging_s)
    return Simulation(cluster, believed, rules, tasks, faults, learner).run()


def _played(
    run: Callable[[SimulationJob], RunStatistics], jobs: Sequence[SimulationJob], processes: int
) -> Iterator[RunStatistics]:
    if processes == 1 or len(jobs) == 1:
        yield from map(run, jobs)
        return
    context = multiprocessing.get_context("spawn")  # a fork copies locks that threads hold
    with ProcessPoolExecutor(min(processes, len(jobs)), context) as pool:
        yield from pool.map(run, jobs)


def _figures(
    scenario: Scenario, trained: LatencyEstimate | None, job: SimulationJob
) -> RunStatistics:
    known = trained if job.predictor.kind == TRAINED else None
    belief = known or job.predictor.believes(scenario.table, job.seed)
    return run_statistics(simulate_policy(scenario, belief, job.policy, job.seed))


def _line(
    policy: str,
    predictor: LatencySource,
    scenario: Scenario,
    own: Sequence[RunStatistics],
    oracle: Sequence[RunStatistics],
) -> ComparisonRow:
    found = mean_statistics(own)
    ratio = found.mean_response_s / mean_statistics(oracle).mean_response_s
    return ComparisonRow(policy, str(predictor), scenario.workload.load, found, ratio)
