"""`acesniper simulate`: compare policies on measured latencies, without a cluster."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from acesniper.cli.options import (
    Column,
    JsonOption,
    LatencyColumn,
    match_names,
    parse_columns,
    parse_integers,
    parse_numbers,
    parse_range,
    read_references,
    thread_count,
    writable_path,
)
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from rich.table import Table

    from acesniper.simulator.comparison import ComparisonRow
    from acesniper.simulator.workload import SimulatedWorkload

DEFAULT_LOAD = 0.95
FILE_WIDTH = 120
"""Width of a table that is not written to a terminal."""
PLOT_SUFFIXES = (".png", ".svg", ".pdf")

Item = TypeVar("Item")


def plot_path(path: Path | None) -> Path | None:
    """Reject a path that cannot be plotted to, before the simulation starts."""
    if path is not None and path.suffix not in PLOT_SUFFIXES:
        raise typer.BadParameter(f"expected a .png, .svg or .pdf file, not {path}")
    return writable_path(path)


def command(
    latencies: Annotated[
        Path, typer.Option(metavar="TABLE.csv[.gz]", help="Table of measured latencies.")
    ],
    policy: Annotated[
        list[str],
        typer.Option(
            help="Policy, named as in the Helm values, such as hrrn-mct; may be repeated; default:"
            " the default policy of the planner."
        ),
    ] = [],  # noqa: B006
    compare: Annotated[bool, typer.Option("--compare", help="Compare all policies.")] = False,
    load: Annotated[
        float | None,
        typer.Option(
            help="Arrival rate over the sum of the devices' service rates, each 1 / (mean run time"
            " over the models); default: 0.95, or that of the trace.",
            min=0.001,
        ),
    ] = None,
    predictor: Annotated[
        str,
        typer.Option(
            metavar="true|trained|noise:0.11",
            help="Predictions of the policy: the measured latencies; the method of `acesniper"
            " evaluate table`, trained on other devices; measured latencies with this mean"
            " relative error.",
        ),
    ] = "true",
    devices: Annotated[
        int | None,
        typer.Option(help="Number of devices, drawn at random; default: all.", min=1),
    ] = None,
    tasks: Annotated[int, typer.Option(help="Number of tasks.", min=1)] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of a single run.", min=0)] = 1,
    seeds: Annotated[
        str,
        typer.Option(metavar="1..10", help="Seeds of several runs, whose figures are averaged."),
    ] = "",
    inferences: Annotated[
        str,
        typer.Option(metavar="N|LOW..HIGH", help="Number of inferences of a task."),
    ] = "1000",
    arrivals: Annotated[
        str,
        typer.Option(
            metavar="poisson|bursts|diurnal|TRACE.csv",
            help="Arrival process, or a file with the column arrival_s and optionally model,"
            " inferences, deadline_s and namespace.",
        ),
    ] = "poisson",
    deadlines: Annotated[
        str,
        typer.Option(
            metavar="LOW..HIGH",
            help="Deadlines in multiples of the run time on the median device; default: none.",
        ),
    ] = "",
    lose: Annotated[
        float,
        typer.Option(
            help="Share of the devices that are down from 30 % to 60 % of the time.", min=0, max=1
        ),
    ] = 0.0,
    slow: Annotated[
        float, typer.Option(help="Share of the devices that slow down then.", min=0, max=1)
    ] = 0.0,
    slow_factor: Annotated[
        float, typer.Option(help="Factor by which they slow down.", min=0.01)
    ] = 3.0,
    learn: Annotated[
        bool | None,
        typer.Option(
            help="Update predictions with the latencies of finished tasks; default: only with"
            " `--predictor trained`, as in a cluster."
        ),
    ] = None,
    aging: Annotated[
        float | None,
        typer.Option(help="Seconds after which a pending task goes first; default: never."),
    ] = None,
    namespaces: Annotated[
        str,
        typer.Option(
            metavar="a=0.9,b=0.1",
            help="Namespaces with the share of the tasks that each submits; default: one, or those"
            " of the trace's column namespace.",
        ),
    ] = "",
    weights: Annotated[
        str,
        typer.Option(
            metavar="a=1,b=2",
            help="Weights of the namespaces, which share the devices; 1 if not named. none: the"
            " policy orders the tasks of all namespaces.",
        ),
    ] = "",
    k: Annotated[
        int, typer.Option("-k", help="Number of reference latencies per device for `trained`.")
    ] = 10,
    references: Annotated[
        str,
        typer.Option(
            metavar="REF.json[:KEY]",
            help="Models of these latencies, in order; default: selected on other devices.",
        ),
    ] = "",
    device_column: Column = ["device"],  # noqa: B006
    model_column: Column = ["model"],  # noqa: B006
    latency_column: LatencyColumn = "latency_ms",
    plot: Annotated[
        Path | None,
        typer.Option(callback=plot_path, help="Plot the result to a .png, .svg or .pdf file."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(help="Parallel runs; 0 means one per available core.", min=0)
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Simulate tasks on measured devices with the policies of the planner.

    A device runs one task at a time, for its measured latency; the policy sees predictions and the
    same reservations as in a cluster. Compare the response time (arrival to finish) rather than the
    waiting time: a policy that starts tasks at once starts them on slow devices. `any-free` is the
    default scheduler with one slot per node. The last column is the mean response time over that of
    the oracle, the same policy with the measured latencies as predictions.

    If the table has gaps, the largest block without gaps is used.

    Examples:
      acesniper simulate --latencies boards.csv.gz --device-column board --devices 30 --compare
      acesniper simulate --latencies boards.csv --predictor trained --policy hrrn-mct --seeds 1..10
    """
    from acesniper.cli.console import out, print_json
    from acesniper.policies.policy import DEFAULT_POLICY, RuleSet
    from acesniper.policies.shares import Shares
    from acesniper.predictor.tables.measurements import TableColumns, read_table
    from acesniper.simulator.comparison import Scenario, compared_policies
    from acesniper.simulator.comparison import compare as compare_policies
    from acesniper.simulator.latency_source import LatencySource
    from acesniper.simulator.simulation import FaultRates

    learns = predictor == "trained" if learn is None else learn
    columns = TableColumns(
        parse_columns(device_column), parse_columns(model_column), latency_column
    )
    table = read_table(latencies, columns)
    reference_names = match_names(read_references(references), table.models) if references else []
    scenario = Scenario(
        table=table,
        workload=replace(
            _workload(tasks, load, arrivals, inferences, deadlines),
            namespaces=tuple(parse_numbers("--namespaces", namespaces).items()),
        ),
        faults=FaultRates(lose, slow, slow_factor),
        size=devices,
        aging_s=inf if aging is None else aging,
        learn=learns,
        shares=None if weights == "none" else Shares(parse_numbers("--weights", weights)),
    )
    policies = compared_policies() if compare else policy or [DEFAULT_POLICY.name]
    try:
        for name in policies:
            RuleSet.named(name)
    except ValueError as error:
        raise InvalidInput(f"--policy {name}: {error}") from error
    rows = compare_policies(
        scenario,
        policies,
        LatencySource.parse(predictor, k, reference_names),
        parse_integers("--seeds", seeds) if seeds else [seed],
        thread_count(jobs),
        _with_progress,
    )
    title = f"load {rows[0].load}, predictor {predictor}{' with learning' if learns else ''}"
    if plot is not None:
        _plot(rows, plot, title)
    if json:
        print_json(comparison_records(rows))
        return
    if not out().is_terminal:
        out().width = FILE_WIDTH
    out().print(comparison_table(rows, title, deadlines=bool(deadlines)))
    if (by_namespace := namespace_table(rows)) is not None:
        out().print(by_namespace)


def comparison_records(rows: "Sequence[ComparisonRow]") -> list[Mapping[str, object]]:
    """One JSON object per policy; with several namespaces, figures of each of them too."""
    records: list[Mapping[str, object]] = []
    for row in rows:
        figures = asdict(row.statistics)
        if not row.statistics.namespaces:
            del figures["namespaces"]
        record = {"policy": row.policy, "predictor": row.predictor, "load": row.load, **figures}
        records.append({**record, "response_over_oracle": row.response_over_oracle})
    return records


def comparison_table(rows: "Sequence[ComparisonRow]", title: str, *, deadlines: bool) -> "Table":
    """A row per policy; with deadlines, the number of those missed too."""
    from rich.table import Table

    from acesniper.api.units import duration_text

    table = Table("policy", title=title, box=None, pad_edge=False)
    headings = ["wait", "p95", "response", "p95", "tasks/s", "/ oracle"]
    for heading in [*headings, *(["missed"] if deadlines else [])]:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        statistics = row.statistics
        cells = [
            row.policy,
            duration_text(statistics.mean_wait_s),
            duration_text(statistics.p95_wait_s),
            duration_text(statistics.mean_response_s),
            duration_text(statistics.p95_response_s),
            f"{statistics.throughput_per_s:.3g}",
            f"{row.response_over_oracle:.3f}",
        ]
        table.add_row(*cells, *([f"{statistics.deadline_misses:.0f}"] if deadlines else []))
    return table


def namespace_table(rows: "Sequence[ComparisonRow]") -> "Table | None":
    """A row per policy and namespace; None if there is one namespace only."""
    from rich.table import Table

    from acesniper.api.units import duration_text

    table = Table("policy", "namespace", box=None, pad_edge=False)
    for heading in ("wait", "response", "p95"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        for name, statistics in row.statistics.namespaces.items():
            times = statistics.mean_wait_s, statistics.mean_response_s, statistics.p95_response_s
            table.add_row(row.policy, name, *map(duration_text, times))
    return table if table.row_count else None


def _workload(
    tasks: int, load: float | None, arrivals: str, inferences: str, deadlines: str
) -> "SimulatedWorkload":
    from acesniper.simulator.workload import PATTERNS, SimulatedWorkload, read_trace

    low, high = parse_range("--inferences", inferences)
    sizes = max(1, round(low)), max(1, round(high))
    limits = parse_range("--deadlines", deadlines) if deadlines else None
    if arrivals in PATTERNS:
        return SimulatedWorkload(tasks, load or DEFAULT_LOAD, arrivals, sizes, limits)
    if not Path(arrivals).is_file():
        patterns = ", ".join(PATTERNS)
        raise InvalidInput(f"--arrivals {arrivals!r}: expected {patterns} or an existing file")
    return SimulatedWorkload(tasks, load, "", sizes, limits, tuple(read_trace(Path(arrivals))))


def _plot(rows: "Sequence[ComparisonRow]", path: Path, title: str) -> None:
    try:
        from acesniper.simulator.plot import plot_comparison
    except ImportError as error:
        raise InvalidInput("--plot needs matplotlib: pip install acesniper[simulate]") from error
    plot_comparison(rows, path, title)


def _with_progress(results: Iterator[Item], total: int) -> Iterable[Item]:
    """The same results, with a progress bar on a terminal."""
    from acesniper.cli.console import progress_bar

    with progress_bar("simulating", total) as update:
        for completed, result in enumerate(results, 1):
            update(completed)
            yield result
