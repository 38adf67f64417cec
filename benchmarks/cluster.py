"""Our scheduler on a real control plane next to the stock one, and to ours with true latencies.

Devices and models are those of a table of measured latencies. KWOK emulates the nodes, and an
emulator finishes each pod after its true latency. The same tasks are run three times: as
InferenceTasks with the predictions from k reference networks per device, as InferenceTasks with the
true latencies (the oracle), and as plain pods that request the same slots, for the stock scheduler.
The simulator's figures for the same tasks are printed as well: the difference is the overhead of a
real cluster, which is smaller with a larger --time-scale (longer tasks, arriving more slowly).
Times are in the table's seconds.

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
"""The policy equivalent to the stock scheduler where every node has one slot."""

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
    parser.add_argument("--timeout", type=float, default=3600.0, help="real seconds per side")
    parser.add_argument("--device-column", nargs="+", default=["device"])
    parser.add_argument("--model-column", nargs="+", default=["model"])
    parser.add_argument("--latency-column", default="latency_ms")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def estimated_by_predictor(arguments: argparse.Namespace, table: MeasuredTable) -> LatencyEstimate:
    """Return the latencies that our scheduler plans with."""
    named = (
        match_names(read_references(arguments.references), table.models)
        if arguments.references
        else []
    )
    return LatencySource.parse(arguments.predictor, arguments.k, named).estimate(
        table, arguments.seed
    )


def simulated(setting: Experiment, truth: LatencyEstimate, policy: str) -> Document:
    """Simulate the same tasks without a cluster."""
    true_rows = latency_rows(setting.cluster, truth, "true")
    figures = {}
    for side, name, latencies in (
        (OURS, policy, setting.predicted),
        (ORACLE, policy, true_rows),
        (STOCK, STOCK_POLICY, true_rows),
    ):
        rules = Policy(name, aging_s=inf)
        done = Simulation(setting.cluster, latencies, rules, setting.tasks).run()
        figures[side.namespace] = asdict(run_statistics(done))
    return figures


def measured(results: Mapping[Contender, ContenderResult]) -> Document:
    """Return the figures of the real cluster, and its overhead per task in real seconds."""
    return {
        side.namespace: {
            **asdict(run_statistics(result.finished)),
            "request_s": fmean(result.request_s),
            "emulation_lag_s": median(result.lag_s),
            "admitting_s": fmean(result.admitting_s) if result.admitting_s else 0.0,
        }
        for side, result in results.items()
    }


def ratios(figures: Document) -> dict[str, float]:
    """Return our mean response over that of the other contenders."""
    ours = figures[OURS.namespace]["mean_response_s"]
    return {
        f"response_over_{side.namespace}": ours / figures[side.namespace]["mean_response_s"]
        for side in (STOCK, ORACLE)
    }


def run(setting: Experiment, timeout_s: float) -> dict[Contender, ContenderResult]:
    """Run all contenders, with a progress bar for each."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        bars = {
            side: bar.add_task(side.namespace, total=len(setting.tasks), start=False)
            for side in CONTENDERS
        }

        def progress(side: Contender, done: int, total: int) -> None:
            bar.start_task(bars[side])
            bar.update(bars[side], completed=done, total=total)

        return run_benchmark(setting, progress, timeout_s)


def shown(real: Document, model: Document, title: str) -> Shown:
    """Return a row per contender: measured figures, then simulated ones."""
    table = Shown("", title=title)
    headings = ("wait s", "response s", "p95 s", "tasks/s", "simulated response s", "p95 s")
    for heading in (*headings, "request ms", "admitting ms", "lag ms"):
        table.add_column(heading, justify="right")
    for name, figures in real.items():
        values = (
            *(figures["mean_wait_s"], figures["mean_response_s"], figures["p95_response_s"]),
            *(figures["throughput_per_s"],),
            *(model[name]["mean_response_s"], model[name]["p95_response_s"]),
            *(1e3 * figures[key] for key in ("request_s", "admitting_s", "emulation_lag_s")),
        )
        table.add_row(name, *(f"{value:.2f}" for value in values))
    return table


def setting_of(
    arguments: argparse.Namespace, table: MeasuredTable, estimate: LatencyEstimate
) -> Experiment:
    """Return the cluster and tasks of a seed."""
    cluster: SimulatedCluster = select_cluster(table, arguments.nodes, arguments.seed)
    sizes = (arguments.inferences, arguments.inferences)
    tasks = make_tasks(
        SimulatedWorkload(arguments.tasks, arguments.load, inferences=sizes),
        cluster,
        arguments.seed,
    )
    environment = {"ACESNIPER_POLICY": arguments.policy}
    return Experiment(
        cluster, tasks, latency_rows(cluster, estimate, "listed"), arguments.time_scale, environment
    )


def main() -> None:
    """Measure, print the figures, and write them."""
    arguments = options()
    columns = TableColumns(
        parse_columns(arguments.device_column),
        parse_columns(arguments.model_column),
        arguments.latency_column,
    )
    table = read_table(arguments.latencies, columns)
    truth, estimate = LatencySource().estimate(table, 0), estimated_by_predictor(arguments, table)
    setting = setting_of(arguments, table, estimate)
    model = simulated(setting, truth, arguments.policy)
    try:
        real = measured(run(setting, arguments.timeout))
    except TestbedError as error:
        sys.exit(f"error: {error}")
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "on": platform.platform(),
    }
    sizes = f"{arguments.nodes} nodes, {arguments.tasks} tasks, load {arguments.load}"
    title = f"{sizes}, {arguments.policy}"
    console = Console(file=sys.stdout, width=140)
    console.print(shown(real, model, f"{title}, predictor {arguments.predictor}"))
    for name, figures in (("measured", ratios(real)), ("simulated", ratios(model))):
        console.print(name, " ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    console.print(machine)
    if arguments.json:
        document = {"machine": machine, "measured": real, "simulated": model, **ratios(real)}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
