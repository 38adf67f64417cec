"""`acesniper simulate`: the policies on measured latencies, without a cluster."""

import time
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.progress import Progress

from acesniper.cli.console import err, out, print_json
from acesniper.cli.options import (
    Column,
    JsonOption,
    LatencyColumn,
    as_written,
    flat,
    span,
    thread_count,
    whole_numbers,
    writable_path,
)
from acesniper.cli.options import references as listed_references
from acesniper.domain.errors import InvalidInput

if TYPE_CHECKING:
    from acesniper.simulator.comparison import ComparisonRow
    from acesniper.simulator.workload import SimulatedWorkload

PATIENCE_S = 2.0
"""What takes less shows no progress bar."""
DEFAULT_LOAD = 0.95
WIDTH = 120
"""Of a table that is written to a file or a pipe."""

Item = TypeVar("Item")


def picture_file(path: Path | None) -> Path | None:
    """Refuse what could not be drawn in the end."""
    if path is not None and path.suffix not in (".png", ".svg", ".pdf"):
        raise typer.BadParameter(f"wants a .png, .svg or .pdf, not {path}")
    return writable_path(path)


def command(
    latencies: Annotated[
        Path, typer.Option(metavar="TABLE.csv[.gz]", help="Measured latencies: the truth.")
    ],
    policy: Annotated[
        list[str],
        typer.Option(
            help="As in the Helm values, such as hrrn-mct; may be repeated; default: the product's."
        ),
    ] = [],  # noqa: B006
    compare: Annotated[bool, typer.Option("--compare", help="All policies side by side.")] = False,
    load: Annotated[
        float | None,
        typer.Option(
            help="Arrival rate over the sum over devices of 1 / (mean run time over the models); "
            "0.95, or as a trace has it.",
            min=0.001,
        ),
    ] = None,
    predictor: Annotated[
        str,
        typer.Option(
            metavar="true|trained|noise:0.11",
            help="What is believed: the truth; the fit of `acesniper evaluate` on other groups of "
            "devices; the truth with a mean relative error.",
        ),
    ] = "true",
    devices: Annotated[
        int | None,
        typer.Option(help="Devices, drawn by the seed; default: all without gaps.", min=1),
    ] = None,
    tasks: Annotated[int, typer.Option(help="How many arrive.", min=1)] = 2000,
    seed: Annotated[int, typer.Option(help="Of one run.", min=0)] = 1,
    seeds: Annotated[
        str, typer.Option(metavar="1..10", help="Several runs; figures are their means.")
    ] = "",
    inferences: Annotated[
        str,
        typer.Option(metavar="N|LOW..HIGH", help="Of a task; tables are in ms, so many make one."),
    ] = "1000",
    arrivals: Annotated[
        str,
        typer.Option(
            metavar="poisson|bursts|diurnal|TRACE.csv",
            help="A file has the column arrival_s, perhaps model, inferences, deadline_s.",
        ),
    ] = "poisson",
    deadlines: Annotated[
        str,
        typer.Option(metavar="LOW..HIGH", help="In run times on the median device; default none."),
    ] = "",
    lose: Annotated[
        float, typer.Option(help="Share of devices lost from 30 to 60 % of the time.", min=0, max=1)
    ] = 0.0,
    slow: Annotated[
        float, typer.Option(help="Share of devices slower in that time.", min=0, max=1)
    ] = 0.0,
    slow_factor: Annotated[float, typer.Option(help="By how much.", min=0.01)] = 3.0,
    learn: Annotated[
        bool | None,
        typer.Option(
            help="Believe what finished tasks took; default: with `trained`, as a cluster."
        ),
    ] = None,
    aging: Annotated[
        float | None, typer.Option(help="Seconds after which a task goes first; default never.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Readings that `trained` gets of a device.")] = 10,
    references: Annotated[
        str,
        typer.Option(
            metavar="REF.json[:KEY]",
            help="Models of these readings, in order; default: chosen by other devices.",
        ),
    ] = "",
    device_column: Column = ["device"],  # noqa: B006
    model_column: Column = ["model"],  # noqa: B006
    latency_column: LatencyColumn = "latency_ms",
    plot: Annotated[
        Path | None, typer.Option(callback=picture_file, help="Draw it: a .png, .svg or .pdf.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(help="Runs at a time; 0 means one per core allowed.", min=0)
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Play tasks on measured devices through the policies that the planner uses.

    Every device runs one task at a time. A task arrives, waits, runs for its true latency; the
    policy sees predictions only, and the same ledger as in a cluster. It teaches three things: what
    a user feels is the response (arrival to finish), not the wait: a policy that starts tasks at
    once starts them on slow devices; what knowing latencies is worth, against `any-free`, which is
    the stock scheduler with one slot per node; and what better predictions could still gain: the
    last column compares with the oracle, the same policy with the true latencies.

    Of a table with gaps, the largest block without one is used; no latency is made up.

    Examples:
      acesniper simulate --latencies boards.csv.gz --device-column board --devices 30 --compare
      acesniper simulate --latencies boards.csv --predictor trained --policy hrrn-mct --seeds 1..10
      --load 1.2 --json
    """
    from acesniper.cli.simulated import records, shown
    from acesniper.policies.policy import DEFAULT_POLICY, RuleSet
    from acesniper.predictor.tables.measurements import TableColumns, read_table
    from acesniper.simulator.comparison import Scenario, compared_policies
    from acesniper.simulator.comparison import compare as compared
    from acesniper.simulator.latency_source import LatencySource
    from acesniper.simulator.simulation import FaultRates

    follows = predictor == "trained" if learn is None else learn
    columns = TableColumns(flat(device_column), flat(model_column), latency_column)
    table = read_table(latencies, columns)
    named = as_written(listed_references(references), table.models) if references else []
    scenario = Scenario(
        table,
        _workload(tasks, load, arrivals, inferences, deadlines),
        FaultRates(lose, slow, slow_factor),
        devices,
        inf if aging is None else aging,
        follows,
    )
    chosen = compared_policies() if compare else policy or [DEFAULT_POLICY.name]
    try:
        for each in chosen:
            RuleSet.named(each)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    lines = compared(
        scenario,
        chosen,
        LatencySource.parse(predictor, k, named),
        whole_numbers("--seeds", seeds) if seeds else [seed],
        thread_count(jobs),
        _watched,
    )
    title = f"load {lines[0].load}, predictor {predictor}{' that learns' if follows else ''}"
    if plot is not None:
        _draw(lines, plot, title)
    if json:
        print_json(records(lines))
        return
    if not out.is_terminal:
        out.width = WIDTH
    out.print(shown(lines, title, due=bool(deadlines)))


def _workload(
    tasks: int, load: float | None, arrivals: str, inferences: str, deadlines: str
) -> "SimulatedWorkload":
    from acesniper.simulator.workload import PATTERNS, SimulatedWorkload, read_trace

    low, high = span("--inferences", inferences)
    sizes = max(1, round(low)), max(1, round(high))
    due = span("--deadlines", deadlines) if deadlines else None
    if arrivals in PATTERNS:
        return SimulatedWorkload(tasks, load or DEFAULT_LOAD, arrivals, sizes, due)
    if not Path(arrivals).is_file():
        raise InvalidInput(f"--arrivals {arrivals!r} is no file and none of {', '.join(PATTERNS)}")
    return SimulatedWorkload(tasks, load, "", sizes, due, tuple(read_trace(Path(arrivals))))


def _draw(lines: "Sequence[ComparisonRow]", path: Path, title: str) -> None:
    try:
        from acesniper.simulator.plot import plot_comparison
    except ImportError as error:
        raise InvalidInput("--plot needs matplotlib: pip install acesniper[simulate]") from error
    plot_comparison(lines, path, title)


def _watched(done: Iterator[Item], total: int) -> Iterable[Item]:
    """Show a bar on a terminal, once it takes longer than a moment."""
    start = time.monotonic()
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        shown = bar.add_task("simulating", total=total, visible=False)
        for each in done:
            bar.update(shown, advance=1, visible=time.monotonic() - start > PATIENCE_S)
            yield each
