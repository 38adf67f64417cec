"""Ace-Sniper, an oracle and the stock scheduler on a real control plane, compared.

Devices and models are those of a table of measured latencies. KWOK emulates the nodes, and an
emulator ends each pod after its true latency. The same tasks run three times: as InferenceTasks
with predictions from k reference networks per device, as InferenceTasks with the true latencies
(the oracle), and as plain pods that request the same slots, for the stock scheduler. The output
also has the simulator's figures for the same tasks; the difference is the overhead of a real
cluster, which is relatively smaller with a larger --time-scale (longer tasks that arrive more
slowly). Times are in simulated seconds.

    python benchmarks/cluster.py --latencies TABLE.csv --nodes 100 --tasks 2000 --load 0.95
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from math import inf
from pathlib import Path
from statistics import fmean, median

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Shown

from acesniper.cli.options import match_names, parse_columns, read_references
from acesniper.policies.policy import DEFAULT_POLICY, Policy
from acesniper.predictor.tables.measurements import MeasuredTable, TableColumns, read_table
from acesniper.simulator.cluster import SimulatedCluster, select_cluster
from acesniper.simulator.latency_source import LatencyEstimate, LatencySource, latency_rows
from acesniper.simulator.simulation import Simulation
from acesniper.simulator.statistics import run_statistics
from acesniper.simulator.workload import SimulatedWorkload, make_tasks
from acesniper.testbed.benchmark.contenders import CONTENDERS, ORACLE, OURS, STOCK, Contender
from acesniper.testbed.benchmark.replay import ContenderResult, Experiment, run_benchmark
from acesniper.testbed.errors import TestbedError

STOCK_POLICY = "any-free"
"""The policy that corresponds to the stock scheduler if every node has one slot."""

Document = dict[str, dict[str, float]]


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latencies", type=Path, required=True)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--load", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inferences", type=int, default=1000, help="of each task")
    parser.add_argument("--predictor", default="trained", help="true, trained or noise:0.11")
    parser.add_argument("-k", type=int, default=10, help="reference networks per device")
    parser.add_argument("--references", default="", help="REF.json[:KEY]; default: chosen")
    parser.add_argument("--policy", default=DEFAULT_POLICY.name)
    parser.add_argument("--time-scale", type=float, default=1.0, help="real seconds per second")
    parser.add_argument("--timeout", type=float, default=3600.0, help="real seconds per contender")
    parser.add_argument("--device-column", nargs="+", default=["device"])
    parser.add_argument("--model-column", nargs="+", default=["model"])
    parser.add_argument("--latency-column", default="latency_ms")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def estimates(given: argparse.Namespace, table: MeasuredTable) -> LatencyEstimate:
    """The latency estimates of Ace-Sniper."""
    named = match_names(read_references(given.references), table.models) if given.references else []
    return LatencySource.parse(given.predictor, given.k, named).estimate(table, given.seed)


def simulated(experiment: Experiment, truth: LatencyEstimate, policy: str) -> Document:
    """The simulator's figures for the same tasks."""
    true_rows = latency_rows(experiment.cluster, truth, "true")
    figures = {}
    for contender, name, rows in (
        (OURS, policy, experiment.believed),
        (ORACLE, policy, true_rows),
        (STOCK, STOCK_POLICY, true_rows),
    ):
        rules = Policy(name, aging_s=inf)
        finished = Simulation(experiment.cluster, rows, rules, experiment.tasks).run()
        figures[contender.namespace] = asdict(run_statistics(finished))
    return figures


def measured(results: Mapping[Contender, ContenderResult]) -> Document:
    """The measured figures, and the overhead per task in real seconds."""
    return {
        contender.namespace: {
            **asdict(run_statistics(result.finished)),
            "request_s": fmean(result.request_s),
            "emulation_lag_s": median(result.lag_s),
            "admitting_s": fmean(result.admitting_s) if result.admitting_s else 0.0,
        }
        for contender, result in results.items()
    }


def ratios(figures: Document) -> dict[str, float]:
    """Our mean response time relative to the others'."""
    response_s = {name: figures[name]["mean_response_s"] for name in figures}
    return {
        f"response_over_{other.namespace}": response_s[OURS.namespace] / response_s[other.namespace]
        for other in (STOCK, ORACLE)
    }


def run(experiment: Experiment, timeout_s: float) -> dict[Contender, ContenderResult]:
    """Run all contenders, each with a progress bar."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        bars = {
            contender: bar.add_task(contender.namespace, total=len(experiment.tasks), start=False)
            for contender in CONTENDERS
        }

        def progress(contender: Contender, done: int, total: int) -> None:
            bar.start_task(bars[contender])
            bar.update(bars[contender], completed=done, total=total)

        return run_benchmark(experiment, progress, timeout_s)


def shown(real: Document, model: Document, title: str) -> Shown:
    """A row per contender: the measured figures, then the simulator's."""
    table = Shown("", title=title)
    headings = ("wait s", "response s", "p95 s", "tasks/s", "simulated response s", "p95 s")
    for heading in (*headings, "request ms", "admitting ms", "lag ms"):
        table.add_column(heading, justify="right")
    for name, figures in real.items():
        values = (
            figures["mean_wait_s"],
            figures["mean_response_s"],
            figures["p95_response_s"],
            figures["throughput_per_s"],
            model[name]["mean_response_s"],
            model[name]["p95_response_s"],
            *(1e3 * figures[key] for key in ("request_s", "admitting_s", "emulation_lag_s")),
        )
        table.add_row(name, *(f"{value:.2f}" for value in values))
    return table


def make_experiment(
    given: argparse.Namespace, table: MeasuredTable, estimate: LatencyEstimate
) -> Experiment:
    """The cluster and the tasks of a seed."""
    cluster: SimulatedCluster = select_cluster(table, given.nodes, given.seed)
    sizes = (given.inferences, given.inferences)
    tasks = make_tasks(
        SimulatedWorkload(given.tasks, given.load, inferences=sizes), cluster, given.seed
    )
    environment = {"ACESNIPER_POLICY": given.policy}
    return Experiment(
        cluster, tasks, latency_rows(cluster, estimate, "listed"), given.time_scale, environment
    )


def main() -> None:
    """Measure, print, write."""
    given = options()
    columns = TableColumns(
        parse_columns(given.device_column), parse_columns(given.model_column), given.latency_column
    )
    table = read_table(given.latencies, columns)
    truth, estimate = LatencySource().estimate(table, 0), estimates(given, table)
    experiment = make_experiment(given, table, estimate)
    model = simulated(experiment, truth, given.policy)
    try:
        real = measured(run(experiment, given.timeout))
    except TestbedError as error:
        sys.exit(f"error: {error}")
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "on": platform.platform(),
    }
    title = f"{given.nodes} nodes, {given.tasks} tasks, load {given.load}, {given.policy}"
    console = Console(file=sys.stdout, width=140)
    console.print(shown(real, model, f"{title}, predictor {given.predictor}"))
    for name, values in (("measured", ratios(real)), ("simulated", ratios(model))):
        console.print(name, " ".join(f"{key} {value:.3f}" for key, value in values.items()))
    console.print(machine)
    if given.json:
        document = {"machine": machine, "measured": real, "simulated": model, **ratios(real)}
        given.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
