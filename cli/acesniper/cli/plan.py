"""`acesniper plan`: what the planner means to run where, and when."""

import json as jsonlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from acesniper.api.units import duration_text
from acesniper.cli.connection import Connection, ContextOption, KubeconfigOption
from acesniper.cli.console import print_json, print_wide
from acesniper.cli.extender_client import ExtenderOption
from acesniper.cli.extender_client import ask as ask_extender
from acesniper.cli.options import JsonOption
from acesniper.domain.errors import Unavailable

if TYPE_CHECKING:
    from acesniper.runtime.client import Cluster

Planned = Mapping[str, Any]


def command(
    extender: ExtenderOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Show the running plan: the tasks that wait, by device, in the order in which they start.

    The plan is made anew at every event, so it says what would happen if nothing else did. What
    runs already is in `acesniper top`.

    Example:
      acesniper plan
    """
    connection = Connection(kubeconfig, context)

    async def ask(cluster: "Cluster") -> Sequence[Planned]:
        return parsed(await ask_extender(cluster, connection, "/plan", extender))

    planned = connection.ask(ask)
    if json:
        print_json(planned)
    else:
        print_wide(shown(planned))


def shown(planned: Sequence[Planned]) -> Table | str:
    """The plan for people, device by device."""
    if not planned:
        return "Nothing waits."
    table = Table("Device", "Task", box=None, pad_edge=False)
    for name in ("Starts in", "Takes"):
        table.add_column(name, justify="right")
    by_device: dict[str, list[Planned]] = {}
    for each in planned:
        by_device.setdefault(each["device"], []).append(each)
    for device, tasks in sorted(by_device.items()):
        for number, each in enumerate(sorted(tasks, key=lambda task: task["startsInSeconds"])):
            start_s = max(each["startsInSeconds"], 0.0)
            table.add_row(
                device if number == 0 else "",
                each["task"],
                duration_text(start_s) if start_s else "now",
                duration_text(each["busySeconds"]),
            )
    return table


def parsed(text: str) -> Sequence[Planned]:
    """The extender's answer. Raises Unavailable where that is none: somebody else answers there."""
    try:
        found = jsonlib.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise Unavailable("what answers is no extender: look at --extender")
    return found
