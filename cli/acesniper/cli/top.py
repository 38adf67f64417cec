"""`acesniper top`: the devices of a cluster, their speed, load and health.

How long a device is busy follows from the decisions in the annotations of its pods: the finish
times that were predicted when the tasks were placed. Tasks that are planned but not bound are not
included; `acesniper plan` shows them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from acesniper.api.reasons import ConditionType
from acesniper.cli.connection import Connection, ContextOption, KubeconfigOption
from acesniper.cli.extender_client import ExtenderOption
from acesniper.cli.namespaces import fetch_uses, namespace_table
from acesniper.cli.options import JsonOption, Output, OutputOption

if TYPE_CHECKING:
    from rich.table import Table

    from acesniper.api.objects import NodeView, PodView
    from acesniper.api.v1alpha1 import DeviceProfile
    from acesniper.runtime.client import Cluster

REFRESH_S = 2.0
NEGATIVE_CONDITIONS = (ConditionType.STALE, ConditionType.NOISY, ConditionType.DRIFTING)
"""Conditions of a DeviceProfile that are true if something is wrong."""


def command(
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help=f"Refresh every {REFRESH_S:g} seconds.")
    ] = False,
    namespaces: Annotated[
        bool, typer.Option("--namespaces", help="Show the use by namespace, from the planner.")
    ] = False,
    output: OutputOption = Output.TABLE,
    extender: ExtenderOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Show the devices: speed, running tasks, predicted busy time, health and age of the probe.

    Speed is relative to the median device of the cluster. Busy is the time until the running tasks
    finish, as predicted when they were placed.

    With --namespaces: the share of each namespace, and what its tasks hold, wait for and have used,
    in device time. The namespace that is ahead of others by least device time is next.

    Examples:
      acesniper top
      acesniper top -o wide --watch
      acesniper top --namespaces
    """
    from acesniper.cli.console import print_json, print_table

    connection = Connection(kubeconfig, context)
    if namespaces:
        uses = connection.run(lambda cluster: fetch_uses(cluster, connection, extender))
        if json:
            print_json(uses)
        else:
            print_table(namespace_table(uses))
    elif json:
        print_json([device_record(row) for row in connection.run(fetch_rows)])
    elif watch:
        _watch(connection, wide=output is Output.WIDE)
    else:
        rows = connection.run(fetch_rows)
        print_table(device_table(rows, wide=output is Output.WIDE))


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device; `speed` is relative to the median device, None without a measurement."""

    name: str
    node: str
    provider: str
    slots: int
    speed: float | None
    running: tuple[str, ...]
    busy_s: float
    health: tuple[str, ...]
    profile_age_s: float | None
    text: str
    suite: str
    calibration: str


async def fetch_rows(cluster: "Cluster") -> list[DeviceRow]:
    """The devices of a cluster, computed from its DeviceProfiles, Nodes and Pods."""
    import time

    from acesniper.api.names import DEVICE_PROFILES, NODES, PODS, TASK_LABEL

    profiles, _ = await cluster.list(DEVICE_PROFILES)
    nodes, _ = await cluster.list(NODES)
    pods, _ = await cluster.list(PODS, labels=TASK_LABEL)

    from acesniper.api import convert
    from acesniper.api.objects import NodeView, PodView
    from acesniper.api.v1alpha1 import DeviceProfile

    return device_rows(
        [convert.parse_resource(DeviceProfile, profile) for profile in profiles],
        {node["metadata"]["name"]: NodeView.of(node) for node in nodes},
        map(PodView.of, pods),
        time.time(),
    )


def device_rows(
    profiles: "Sequence[DeviceProfile]",
    nodes: "Mapping[str, NodeView]",
    pods: "Iterable[PodView]",
    now_s: float,
) -> list[DeviceRow]:
    """All devices, from fastest to slowest; devices without a measurement come last."""
    by_device: dict[str, list[PodView]] = {}
    for pod in pods:
        if pod.node and pod.device and not pod.finished:
            by_device.setdefault(pod.device, []).append(pod)
    speeds = relative_speeds(profiles)
    rows = [
        _row(
            profile,
            nodes.get(profile.spec.node),
            by_device.get(_name(profile), []),
            speeds.get(_name(profile)),
            now_s,
        )
        for profile in profiles
    ]
    return sorted(rows, key=lambda row: (-(row.speed or 0.0), row.name))


def relative_speeds(profiles: "Sequence[DeviceProfile]") -> dict[str, float]:
    """Speed of each measured device over the median device: geometric mean over all probes."""
    from math import exp, log
    from statistics import fmean, median

    seconds: dict[str, list[float]] = {}
    for profile in profiles:
        for probe, reading in profile.status.readings.items():
            seconds.setdefault(probe, []).append(reading.seconds)
    medians = {probe: median(values) for probe, values in seconds.items()}
    return {
        _name(profile): exp(
            fmean(
                log(medians[probe] / reading.seconds)
                for probe, reading in profile.status.readings.items()
            )
        )
        for profile in profiles
        if profile.status.readings
    }


def health_problems(profile: "DeviceProfile", node: "NodeView | None") -> tuple[str, ...]:
    """The problems of a device as CamelCase words; empty if it is healthy."""
    from acesniper.api.v1alpha1 import condition_is_true

    problems = []
    if node is None:
        problems.append("NoNode")
    elif not node.schedulable:
        problems.append("NodeNotReady")
    if not profile.status.readings:
        problems.append("NotMeasured")
    conditions = profile.status.conditions
    degraded = (kind for kind in NEGATIVE_CONDITIONS if condition_is_true(conditions, kind))
    return (*problems, *degraded)


def remaining_s(pod: "PodView", now_s: float) -> float:
    """Seconds until the predicted finish of a pod; 0 for a pod without a decision."""
    from acesniper.api.decision import Decision

    decision = Decision.read(pod.decision)
    if decision is None:
        return 0.0
    return max(decision.decided_at + decision.candidates[0].finish_seconds - now_s, 0.0)


def device_table(rows: Sequence[DeviceRow], *, wide: bool) -> "Table | str":
    """The rows as a table, or a hint if there are no devices."""
    from rich.table import Table

    if not rows:
        return (
            "No devices found: `kubectl get deviceprofiles` is empty. A node is measured when its"
            " probe starts; run `acesniper doctor` to find out why it did not."
        )
    table = Table("Device", box=None, pad_edge=False)
    for heading in ("Speed", "Running", "Busy"):
        table.add_column(heading, justify="right")
    for heading in ("Health", "Measured", *(("On", "Suite", "Calibration") if wide else ())):
        table.add_column(heading)
    for row in rows:
        table.add_row(*_cells(row, wide=wide))
    return table


def device_record(row: DeviceRow) -> Mapping[str, object]:
    """A row as JSON."""
    return asdict(row) | {"healthy": not row.health}


def _cells(row: DeviceRow, *, wide: bool) -> list[str]:
    from acesniper.api.units import duration_text
    from acesniper.cli.console import age_text

    running = f"{len(row.running)} of {row.slots}"
    return [
        row.name,
        "-" if row.speed is None else f"{row.speed:.2f} x",
        "\n".join(row.running) if wide and row.running else running,
        duration_text(row.busy_s) if row.busy_s else "-",
        ", ".join(row.health) or "ok",
        "-" if row.profile_age_s is None else f"{age_text(row.profile_age_s)} ago",
        *((row.text, row.suite, row.calibration) if wide else ()),
    ]


def _watch(connection: Connection, *, wide: bool) -> None:
    import asyncio

    from rich.live import Live

    from acesniper.cli.console import out

    async def refresh() -> None:
        async with connection.open() as cluster:
            with Live(console=out(), auto_refresh=False, screen=out().is_terminal) as live:
                while True:
                    rows = await fetch_rows(cluster)
                    live.update(device_table(rows, wide=wide), refresh=True)
                    await asyncio.sleep(REFRESH_S)

    asyncio.run(refresh())


def _row(
    profile: "DeviceProfile",
    node: "NodeView | None",
    pods: "Sequence[PodView]",
    speed: float | None,
    now_s: float,
) -> DeviceRow:
    from acesniper.api.units import epoch_s

    status = profile.status
    measured_at = status.measured_at
    return DeviceRow(
        name=_name(profile),
        node=profile.spec.node,
        provider=profile.spec.provider,
        slots=profile.spec.slots,
        speed=speed,
        running=tuple(f"{pod.namespace}/{pod.task or pod.name}" for pod in pods),
        busy_s=max((remaining_s(pod, now_s) for pod in pods), default=0.0),
        health=health_problems(profile, node),
        profile_age_s=max(now_s - epoch_s(measured_at), 0.0) if measured_at else None,
        text=status.text or "",
        suite=" ".join(filter(None, (status.suite, status.suite_version))),
        calibration=status.calibration or "",
    )


def _name(profile: "DeviceProfile") -> str:
    return str(profile.metadata["name"])
