"""Our scheduler on a real control plane next to the stock one, and to ours with true latencies.

Devices and models are those of a table of measured latencies. KWOK plays the nodes, an emulator
ends each pod when its true latency is over. The same tasks come three times: as InferenceTasks with
what the predictor makes of k reference networks per device, as InferenceTasks with the truth (the
oracle), and as plain pods that ask for the same slots, for the stock scheduler. The simulator's
figures for the same tasks stand beside them: what is above them is the price of the real thing,
which a larger --time-scale (longer tasks, arriving as much more slowly) makes smaller. Times are in
the table's seconds.

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
"""What the stock scheduler does where every node has one slot."""

Document = dict[str, dict[str, float]]


def options() -> argparse.Namespace:
    """What was asked for."""
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


def believed(given: argparse.Namespace, table: MeasuredTable) -> LatencyEstimate:
    """What our side is told."""
    named = match_names(read_references(given.references), table.models) if given.references else []
    return LatencySource.parse(given.predictor, given.k, named).estimate(table, given.seed)


def simulated(setting: Experiment, truth: LatencyEstimate, policy: str) -> Document:
    """The figures of the same tasks without a cluster."""
    true_rows = latency_rows(setting.cluster, truth, "true")
    found = {}
    for side, name, told in (
        (OURS, policy, setting.believed),
        (ORACLE, policy, true_rows),
        (STOCK, STOCK_POLICY, true_rows),
    ):
        rules = Policy(name, aging_s=inf)
        done = Simulation(setting.cluster, told, rules, setting.tasks).run()
        found[side.namespace] = asdict(run_statistics(done))
    return found


def measured(played: Mapping[Contender, ContenderResult]) -> Document:
    """The figures of the real thing, and what it cost beside the tasks, in real seconds."""
    return {
        side.namespace: {
            **asdict(run_statistics(each.finished)),
            "request_s": fmean(each.request_s),
            "emulation_lag_s": median(each.lag_s),
            "admitting_s": fmean(each.admitting_s) if each.admitting_s else 0.0,
        }
        for side, each in played.items()
    }


def ratios(found: Document) -> dict[str, float]:
    """Ours over the others'."""
    ours = found[OURS.namespace]["mean_response_s"]
    return {
        f"response_over_{side.namespace}": ours / found[side.namespace]["mean_response_s"]
        for side in (STOCK, ORACLE)
    }


def run(setting: Experiment, timeout_s: float) -> dict[Contender, ContenderResult]:
    """Play all sides with a bar each."""
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
    """A line per side: the real figures, then the simulator's."""
    table = Shown("", title=title)
    headings = ("wait s", "response s", "p95 s", "tasks/s", "simulated response s", "p95 s")
    for heading in (*headings, "request ms", "admitting ms", "lag ms"):
        table.add_column(heading, justify="right")
    for name, found in real.items():
        values = (
            *(found["mean_wait_s"], found["mean_response_s"], found["p95_response_s"]),
            *(found["throughput_per_s"],),
            *(model[name]["mean_response_s"], model[name]["p95_response_s"]),
            *(1e3 * found[each] for each in ("request_s", "admitting_s", "emulation_lag_s")),
        )
        table.add_row(name, *(f"{value:.2f}" for value in values))
    return table


def setting_of(
    given: argparse.Namespace, table: MeasuredTable, belief: LatencyEstimate
) -> Experiment:
    """The cluster and tasks of a seed."""
    cluster: SimulatedCluster = select_cluster(table, given.nodes, given.seed)
    sizes = (given.inferences, given.inferences)
    tasks = make_tasks(
        SimulatedWorkload(given.tasks, given.load, inferences=sizes), cluster, given.seed
    )
    environment = {"ACESNIPER_POLICY": given.policy}
    return Experiment(
        cluster, tasks, latency_rows(cluster, belief, "listed"), given.time_scale, environment
    )


def main() -> None:
    """Measure, print, write."""
    given = options()
    columns = TableColumns(
        parse_columns(given.device_column), parse_columns(given.model_column), given.latency_column
    )
    table = read_table(given.latencies, columns)
    truth, belief = LatencySource().estimate(table, 0), believed(given, table)
    setting = setting_of(given, table, belief)
    model = simulated(setting, truth, given.policy)
    try:
        real = measured(run(setting, given.timeout))
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
    for name, found in (("measured", ratios(real)), ("simulated", ratios(model))):
        console.print(name, " ".join(f"{key} {value:.3f}" for key, value in found.items()))
    console.print(machine)
    if given.json:
        document = {"machine": machine, "measured": real, "simulated": model, **ratios(real)}
        given.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
