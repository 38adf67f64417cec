"""`acesniper plan`: the planner's schedule of pending tasks."""

import json as json_module
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acesniper.cli.connection import Connection, ContextOption, KubeconfigOption
from acesniper.cli.extender_client import ExtenderOption, fetch
from acesniper.cli.options import JsonOption
from acesniper.domain.errors import Unavailable

if TYPE_CHECKING:
    from rich.table import Table

    from acesniper.runtime.client import Cluster

PlannedTask = Mapping[str, Any]


def command(
    extender: ExtenderOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Show the current plan: the pending tasks of each device in the order of their start.

    The planner computes a new plan at every event. Running tasks are shown by `acesniper top`.

    Example:
      acesniper plan
    """
    connection = Connection(kubeconfig, context)

    async def fetch_plan(cluster: "Cluster") -> Sequence[PlannedTask]:
        return parse_plan(await fetch(cluster, connection, "/plan", extender))

    plan = connection.run(fetch_plan)

    from acesniper.cli.console import print_json, print_table

    if json:
        print_json(plan)
    else:
        print_table(plan_table(plan))


def plan_table(plan: Sequence[PlannedTask]) -> "Table | str":
    """The plan as a table by device."""
    from rich.table import Table

    from acesniper.api.units import duration_text

    if not plan:
        return "No tasks are pending."
    table = Table("Device", "Task", box=None, pad_edge=False)
    for heading in ("Starts in", "Takes"):
        table.add_column(heading, justify="right")
    by_device: dict[str, list[PlannedTask]] = {}
    for task in plan:
        by_device.setdefault(task["device"], []).append(task)
    for device, tasks in sorted(by_device.items()):
        tasks.sort(key=lambda task: task["startsInSeconds"])
        for position, task in enumerate(tasks):
            start_s = max(task["startsInSeconds"], 0.0)
            table.add_row(
                device if position == 0 else "",
                task["task"],
                duration_text(start_s) if start_s else "now",
                duration_text(task["busySeconds"]),
            )
    return table


def parse_plan(text: str) -> Sequence[PlannedTask]:
    """Parse the extender's response.

    Raises:
        Unavailable: it is not a plan, so that the URL is not that of an extender.
    """
    try:
        plan = json_module.loads(text)
    except ValueError:
        plan = None
    if not isinstance(plan, list):
        raise Unavailable("the response is not a plan: check that --extender is the extender's URL")
    return plan
