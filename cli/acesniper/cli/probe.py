"""`acesniper probe`: measure this device."""

import platform
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acesniper.cli.options import (
    CpuQuota,
    Optimise,
    Precision,
    RuntimeName,
    Threads,
    thread_count,
)

if TYPE_CHECKING:
    from rich.table import Table

    from acesniper.domain.device import ProbeResult


class ProbeOutput(StrEnum):
    """Format of the result."""

    TABLE = "table"
    YAML = "yaml"
    JSON = "json"


def command(
    output: Annotated[
        ProbeOutput,
        typer.Option("--output", "-o", help="`yaml` and `json` print a DeviceProfile."),
    ] = ProbeOutput.TABLE,
    node: Annotated[str, typer.Option(help="Node of the device; default: this host.")] = "",
    file: Annotated[Path | None, typer.Option(help="Write the DeviceProfile to this file.")] = None,
    name: Annotated[
        str, typer.Option(help="Name of the DeviceProfile; default: NODE-PROVIDER.")
    ] = "",
    runtime: RuntimeName = "onnxruntime",
    threads: Threads = 0,
    optimise: Optimise = True,
    precision: Precision = "f32",
    quick: Annotated[
        bool, typer.Option("--quick", help="About 3 s: fewer rounds, no measurement under load.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Apply the DeviceProfile to the cluster.")
    ] = False,
    reprobed: Annotated[
        str,
        typer.Option(help="With --publish: the value of spec.reprobe that requested this probe."),
    ] = "",
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            envvar="KUBECONFIG", help="With --publish; default: the service account of the pod."
        ),
    ] = None,
    cpu_quota: CpuQuota = None,
) -> None:
    """Measure this device in a few seconds.

    Runs the HRM suite: chains of operators of one class, small networks, and memory transfers. From
    these readings the latency of any model on this device is predicted.

    Examples:
      acesniper probe
      acesniper probe -o yaml --node edge-1 > edge-1.yaml
      acesniper probe --publish --node edge-1 --kubeconfig ~/.kube/config
    """
    from acesniper.cli.console import err
    from acesniper.probe.measure import FULL_PROBE, QUICK_PROBE
    from acesniper.probe.platform_probe import probe
    from acesniper.probe.runtimes import RuntimeOptions
    from acesniper.probe.runtimes import runtime as load_runtime

    host = node or platform.node() or "localhost"
    with err().status("probing", refresh_per_second=2) as status:
        result = probe(
            load_runtime(runtime),
            RuntimeOptions(thread_count(threads), optimise, precision),
            effort=QUICK_PROBE if quick else FULL_PROBE,
            cpu_quota=cpu_quota,
            progress=status.update,
        )
    profile = name or f"{host}-{result.provider}"
    if publish:
        _publish(profile, host, result, reprobed, kubeconfig)
    write_result(profile, host, result, output, file)


def write_result(
    name: str, node: str, result: "ProbeResult", output: ProbeOutput, file: Path | None
) -> None:
    """Print the result as a table, or write it as a DeviceProfile; a file never gets a table."""
    from acesniper.cli.console import out
    from acesniper.probe.profiles import profile_text

    if output is ProbeOutput.TABLE and file is None:
        out().print(reading_table(result))
        return
    text = profile_text(name, node, result, "json" if output is ProbeOutput.JSON else "yaml")
    if file is None:
        print(text, end="")
    else:
        file.write_text(text, encoding="utf-8")


def _publish(
    name: str, node: str, result: "ProbeResult", reprobed: str, kubeconfig: Path | None
) -> None:
    import asyncio

    from acesniper.cli.console import err
    from acesniper.probe.profiles import publish, reprobe_manifest

    asyncio.run(publish(reprobe_manifest(name, node, result, reprobed), kubeconfig))
    err().print(f"published DeviceProfile {name}")


def reading_table(result: "ProbeResult") -> "Table":
    """The readings as a table."""
    from rich.table import Table

    from acesniper.api.units import duration_text

    limit = f", limited to {result.cpu_quota:g} cores" if result.cpu_quota else ""
    table = Table(
        title=f"{result.cpu_model}, {result.threads} of {result.cores} cores{limit}",
        caption=f"{result.runtime} {result.runtime_version}, {result.duration_s:.1f} s"
        + (f"; no reading: {', '.join(result.missing)}" if result.missing else ""),
    )
    table.add_column("Probe")
    for column in ("Time", "Spread", "Sustained", "Loaded", "Rate"):
        table.add_column(column, justify="right")
    for name, reading in result.vector.readings.items():
        table.add_row(
            name,
            duration_text(reading.seconds),
            f"{reading.spread:.1%}",
            _change(reading.sustained_s, reading.seconds),
            _change(reading.loaded_s, reading.seconds),
            _rate(name, reading.seconds),
        )
    return table


def _change(changed_s: float | None, idle_s: float) -> str:
    return "" if changed_s is None else f"{changed_s / idle_s - 1:+.1%}"


def _rate(name: str, duration_s: float) -> str:
    from acesniper.probe.suite import TRANSFERS

    return f"{TRANSFERS[name] / duration_s / 1e9:.3g} GB/s" if name in TRANSFERS else ""
