"""Results of the demo: a row per task, and a summary per run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from acesniper.api.units import duration_text
from acesniper.testbed.emulator import Run

LOG_WIDTH = 120


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task of one run. Seconds; predicted and actual are of one inference."""

    task: str
    model: str
    node: str
    predicted_s: float | None
    actual_s: float | None
    wait_s: float
    response_s: float


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run of the workload. Wait: apply to start; response: apply to finish."""

    tasks: int
    finished: int
    mean_wait_s: float
    p95_wait_s: float
    mean_response_s: float
    p95_response_s: float
    makespan_s: float


def rows(
    runs: Sequence[Run], applied: Mapping[str, float], statuses: Mapping[str, Mapping[str, Any]]
) -> list[TaskRow]:
    """A row per finished run; `statuses` are the statuses of InferenceTasks by name, if any."""
    result = []
    for run in runs:
        if run.started_s is None or run.finished_s is None:
            raise ValueError(f"pod {run.pod} finished without start and finish times")
        status = statuses.get(run.task, {})
        since_s = applied[run.task]
        result.append(
            TaskRow(
                task=run.task,
                model=run.model,
                node=run.node,
                predicted_s=status.get("predicted", {}).get("latencySeconds"),
                actual_s=status.get("observed", {}).get("latencyMedianSeconds"),
                wait_s=max(run.started_s - since_s, 0.0),
                response_s=run.finished_s - since_s,
            )
        )
    return sorted(result, key=lambda row: (applied[row.task], row.response_s))


def summarise(rows: Sequence[TaskRow], applied: Mapping[str, float]) -> RunSummary:
    """The summary of a run; all of its tasks have finished."""
    first_s = min(applied.values())
    return RunSummary(
        tasks=len(applied),
        finished=len(rows),
        mean_wait_s=fmean(row.wait_s for row in rows),
        p95_wait_s=_p95([row.wait_s for row in rows]),
        mean_response_s=fmean(row.response_s for row in rows),
        p95_response_s=_p95([row.response_s for row in rows]),
        makespan_s=max(applied[row.task] + row.response_s for row in rows) - first_s,
    )


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[ceil(0.95 * len(values)) - 1]


def show(console: Console, ours: Sequence[TaskRow], summaries: Mapping[str, RunSummary]) -> None:
    """Print the table of our tasks and the summaries side by side."""
    if not console.is_terminal:
        console.width = LOG_WIDTH  # do not truncate in a file or a pipe
    table = Table("task", "model", "node", title="Placed by Ace-Sniper")
    for column in ("predicted", "actual", "wait", "response"):
        table.add_column(column, justify="right")
    for row in ours:
        seconds = (row.predicted_s, row.actual_s, row.wait_s, row.response_s)
        shown = ("-" if value is None else duration_text(value) for value in seconds)
        table.add_row(row.task, row.model, row.node, *shown)
    console.print(table)
    console.print(_comparison(summaries["ours"], summaries["stock"]))


def _comparison(ours: RunSummary, stock: RunSummary) -> Table:
    table = Table("", title=f"The same {ours.tasks} tasks, twice")
    for column in ("Ace-Sniper", "stock scheduler", "ratio"):
        table.add_column(column, justify="right")
    for name, mine in asdict(ours).items():
        theirs = getattr(stock, name)
        label = name.removesuffix("_s").replace("_", " ")
        if not name.endswith("_s"):
            table.add_row(label, str(mine), str(theirs), "")
            continue
        ratio = f"{mine / theirs:.2f}" if theirs else "-"
        table.add_row(label, duration_text(mine), duration_text(theirs), ratio)
    return table


def as_json(ours: Sequence[TaskRow], summaries: Mapping[str, RunSummary]) -> str:
    """The same for machines."""
    document = {name: asdict(summary) for name, summary in summaries.items()}
    return json.dumps({**document, "tasks": [asdict(row) for row in ours]}, indent=2) + "\n"
