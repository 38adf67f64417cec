"""Use of the fleet by namespace, and why a pending task waits: both as the planner knows them."""

import json as json_module
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from acesniper.cli.connection import Connection
from acesniper.cli.extender_client import fetch
from acesniper.domain.errors import AcesniperError, Unavailable

if TYPE_CHECKING:
    from rich.table import Table

    from acesniper.runtime.client import Cluster

NamespaceRow = Mapping[str, Any]
"""Namespace, weight, tasks and seconds, as `/namespaces` of the extender returns them."""


async def fetch_uses(
    cluster: "Cluster", connection: Connection, extender: str | None
) -> Sequence[NamespaceRow]:
    """The use of the fleet by each namespace.

    Raises:
        Unavailable: the extender cannot be reached, or the URL is not an extender's.
    """
    return parse_uses(await fetch(cluster, connection, "/namespaces", extender))


def parse_uses(text: str) -> Sequence[NamespaceRow]:
    """Parse the extender's response.

    Raises:
        Unavailable: it is not a list of namespaces.
    """
    try:
        rows = json_module.loads(text)
    except ValueError:
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Unavailable(
            "the response is not a list of namespaces: check that --extender is the extender's URL"
        )
    return rows


async def fetch_reason(
    cluster: "Cluster", connection: Connection, task: str, extender: str | None
) -> str | None:
    """Why a pending task waits; None if the extender cannot be reached or does not know it.

    The rest of an explanation does not need the extender, so that its failure is not reported.
    """
    try:
        text = await fetch(cluster, connection, f"/waiting?{urlencode({'task': task})}", extender)
        return str(json_module.loads(text)["reason"])
    except (AcesniperError, ValueError, KeyError, TypeError):
        return None


def namespace_table(rows: Sequence[NamespaceRow]) -> "Table | str":
    """A row per namespace, the one that is next first."""
    from rich.table import Table

    from acesniper.api.units import duration_text

    if not rows:
        return (
            "No namespace uses the devices, or they are not shared: the chart's value"
            " scheduling.settings.fairShares is false."
        )
    table = Table("Namespace", box=None, pad_edge=False)
    for heading in ("Weight", "Waiting", "Waiting for", "Holds", "Used", "Ahead by", "Limit"):
        table.add_column(heading, justify="right")
    for row in sorted(rows, key=lambda row: (row["accountSeconds"], row["namespace"])):
        limit_s = row["limitSeconds"]
        names = ("waitingSeconds", "heldSeconds", "usedSeconds", "accountSeconds")
        table.add_row(
            row["namespace"],
            f"{row['weight']:g}",
            str(row["waitingTasks"]),
            *(duration_text(row[name]) if row[name] else "-" for name in names),
            "-" if limit_s is None else duration_text(limit_s),
        )
    return table
