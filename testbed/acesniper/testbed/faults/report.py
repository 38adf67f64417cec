"""What came out of the faults, as a table and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from acesniper.testbed.faults.audit import Audit


@dataclass(frozen=True, slots=True)
class Campaign:
    """One kind of fault, how often it happened over how many tasks, and what was found after."""

    name: str
    kills: int
    tasks: int
    seconds: float
    found: Audit


def show(console: Console, campaigns: Sequence[Campaign], failover_s: Sequence[float]) -> None:
    """Print a row for each campaign, and what is wrong, if anything is."""
    table = Table("killed by SIGKILL", title="Faults", show_footer=False)
    for column in ("kills", "tasks", "seconds", "lost", "doubled", "leaked"):
        table.add_column(column, justify="right")
    for each in campaigns:
        found = each.found
        numbers = (each.kills, each.tasks, round(each.seconds))
        wrong = (len(found.lost), len(found.doubled), len(found.leaked))
        table.add_row(each.name, *map(str, (*numbers, *wrong)))
    console.print(table)
    shown = ", ".join(f"{seconds:.1f}" for seconds in failover_s)
    console.print(f"seconds from the loss of a scheduler pod to the next placement: {shown}")
    for each in campaigns:
        for line in (*each.found.lost, *each.found.doubled, *each.found.leaked):
            console.print(f"{each.name}: {line}", markup=False, highlight=False)


def as_json(campaigns: Sequence[Campaign], failover_s: Sequence[float], seed: int) -> str:
    """The figures, summed and for each campaign."""

    def total(name: str) -> int:
        return sum(len(getattr(each.found, name)) for each in campaigns)

    wrong = {name: total(name) for name in ("lost", "doubled", "leaked")}
    figures = {
        "kills": sum(each.kills for each in campaigns),
        **wrong,
        "seed": seed,
        "failover_s": [round(each, 2) for each in failover_s],
        "campaigns": [
            {
                "name": each.name,
                "kills": each.kills,
                "tasks": each.tasks,
                "seconds": round(each.seconds, 1),
                "lost": list(each.found.lost),
                "doubled": list(each.found.doubled),
                "leaked": list(each.found.leaked),
            }
            for each in campaigns
        ],
    }
    return json.dumps(figures, indent=2) + "\n"
