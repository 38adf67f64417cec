"""`acesniper top`: the devices of a cluster, what they can do and what they do."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.table import Table

from acesniper.api.units import duration_text
from acesniper.cli.connection import Connection, ContextOption, KubeconfigOption
from acesniper.cli.console import age, out, print_json, print_wide
from acesniper.cli.options import JsonOption, Output, OutputOption

if TYPE_CHECKING:
    from acesniper.runtime.client import Cluster

EVERY_S = 2.0


def command(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again.")] = False,
    output: OutputOption = Output.TABLE,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Show the devices: speed, what runs there and until when, health, age of the measurement.

    Speed is over the median device of the cluster. Busy is what was expected when the running tasks
    were placed.

    Examples:
      acesniper top
      acesniper top -o wide --watch
    """
    connection = Connection(kubeconfig, context)
    if json:
        print_json([record(each) for each in connection.ask(ask)])
    elif watch:
        asyncio.run(_watch(connection, wide=output is Output.WIDE))
    else:
        print_wide(shown(connection.ask(ask), wide=output is Output.WIDE))


async def ask(cluster: "Cluster") -> list[DeviceRow]:
    """The devices as they are now."""
    from acesniper.api import convert
    from acesniper.api.names import DEVICE_PROFILES, NODES, PODS, TASK_LABEL
    from acesniper.api.objects import NodeView, PodView
    from acesniper.api.v1alpha1 import DeviceProfile

    profiles, _ = await cluster.list(DEVICE_PROFILES)
    nodes, _ = await cluster.list(NODES)
    pods, _ = await cluster.list(PODS, labels=TASK_LABEL)
    return rows(
        [convert.parse_resource(DeviceProfile, each) for each in profiles],
        {each["metadata"]["name"]: NodeView.of(each) for each in nodes},
        map(PodView.of, pods),
        time.time(),
    )


def shown(devices: Sequence[DeviceRow], *, wide: bool) -> Table | str:
    """The devices for people."""
    if not devices:
        return (
            "No device is known yet: `kubectl get deviceprofiles` is empty. A node measures itself"
            " when its probe starts; `acesniper doctor` says what keeps it from that."
        )
    table = Table("Device", box=None, pad_edge=False)
    for name in ("Speed", "Running", "Busy"):
        table.add_column(name, justify="right")
    for name in ("Health", "Measured", *(("On", "Suite", "Calibration") if wide else ())):
        table.add_column(name)
    for each in devices:
        more = (each.text, each.suite, each.calibration) if wide else ()
        table.add_row(
            each.name,
            "-" if each.speed is None else f"{each.speed:.2f} x",
            "\n".join(each.running) if wide and each.running else _used(each),
            duration_text(each.busy_s) if each.busy_s else "-",
            ", ".join(each.health) or "ok",
            "-" if each.profile_age_s is None else f"{age(each.profile_age_s)} ago",
            *more,
        )
    return table


def record(device: DeviceRow) -> Mapping[str, object]:
    """A device for machines."""
    return asdict(device) | {"healthy": not device.health}


def _used(device: DeviceRow) -> str:
    return f"{len(device.running)} of {device.slots}"


async def _watch(connection: Connection, *, wide: bool) -> None:
    async with connection.open() as cluster:
        with Live(console=out, auto_refresh=False, screen=out.is_terminal) as live:
            while True:
                live.update(shown(await ask(cluster), wide=wide), refresh=True)
                await asyncio.sleep(EVERY_S)
