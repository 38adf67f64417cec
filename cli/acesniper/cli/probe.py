"""`acesniper probe`: measure this device."""

import platform
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from acesniper.api.units import duration_text
from acesniper.cli.console import err, out
from acesniper.cli.options import Optimise, Precision, RuntimeName, Threads, thread_count
from acesniper.domain.device import ProbeResult


class Output(StrEnum):
    """How to print the result."""

    TABLE = "table"
    YAML = "yaml"
    JSON = "json"


def command(
    output: Annotated[
        Output, typer.Option("--output", "-o", help="yaml and json print a DeviceProfile.")
    ] = Output.TABLE,
    node: Annotated[str, typer.Option(help="Node it belongs to; default: this host.")] = "",
    file: Annotated[
        Path | None, typer.Option(help="Write the DeviceProfile there, not to standard output.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the profile; default: NODE-PROVIDER.")] = "",
    runtime: RuntimeName = "onnxruntime",
    threads: Threads = 0,
    optimise: Optimise = True,
    precision: Precision = "f32",
    quick: Annotated[
        bool, typer.Option("--quick", help="About 3 s: fewer rounds, nothing under load.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Write the DeviceProfile into the cluster.")
    ] = False,
    reprobed: Annotated[
        str, typer.Option(help="For --publish: the value of spec.reprobe that this answers.")
    ] = "",
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            envvar="KUBECONFIG", help="For --publish; without it, the pod's own service account."
        ),
    ] = None,
    cpu_quota: Annotated[
        float | None,
        typer.Option(help="Cores this process is limited to, where no cgroup says so.", min=0.01),
    ] = None,
) -> None:
    """Measure what this device can do, once, in a few seconds.

    Runs the HRM suite: chains typical of one class of operators, small whole networks, transfers
    of bytes. The readings describe the device to the predictor, so that no model has to be tried
    on it.

    Examples:
      acesniper probe
      acesniper probe -o yaml --node edge-1 > edge-1.yaml
      acesniper probe --publish --node edge-1 --kubeconfig ~/.kube/config
    """
    from acesniper.probe.measure import FULL_PROBE, QUICK_PROBE
    from acesniper.probe.platform_probe import probe
    from acesniper.probe.runtimes import RuntimeOptions
    from acesniper.probe.runtimes import runtime as runtime_named

    host = node or platform.node() or "localhost"
    with err.status("probing", refresh_per_second=2) as status:
        result = probe(
            runtime_named(runtime),
            RuntimeOptions(thread_count(threads), optimise, precision),
            effort=QUICK_PROBE if quick else FULL_PROBE,
            cpu_quota=cpu_quota,
            progress=status.update,
        )
    profile = name or f"{host}-{result.provider}"
    if publish:
        _publish(profile, host, result, reprobed, kubeconfig)
    say(profile, host, result, output, file)


def say(name: str, node: str, result: ProbeResult, output: Output, file: Path | None) -> None:
    """Print the result, or write it to a file, which nobody wants a table in."""
    from acesniper.probe.profiles import profile_text

    if output is Output.TABLE and file is None:
        out.print(table(result))
        return
    text = profile_text(name, node, result, "json" if output is Output.JSON else "yaml")
    if file is None:
        print(text, end="")
    else:
        file.write_text(text, encoding="utf-8")


def _publish(
    name: str, node: str, result: ProbeResult, reprobed: str, kubeconfig: Path | None
) -> None:
    import asyncio

    from acesniper.probe.profiles import publish, reprobe_manifest

    asyncio.run(publish(reprobe_manifest(name, node, result, reprobed), kubeconfig))
    err.print(f"published DeviceProfile {name}")


def table(result: ProbeResult) -> Table:
    """The readings for people."""
    limit = f", {result.cpu_quota:g} cores allowed" if result.cpu_quota else ""
    shown = Table(
        title=f"{result.cpu_model}, {result.threads} of {result.cores} cores{limit}",
        caption=f"{result.runtime} {result.runtime_version}, {result.duration_s:.1f} s"
        + (f"; no reading: {', '.join(result.missing)}" if result.missing else ""),
    )
    shown.add_column("Probe")
    for column in ("Time", "Spread", "Sustained", "With a neighbour", "Rate"):
        shown.add_column(column, justify="right")
    for name, each in result.vector.readings.items():
        shown.add_row(
            name,
            duration_text(each.seconds),
            f"{each.spread:.1%}",
            _change(each.sustained_s, each.seconds),
            _change(each.loaded_s, each.seconds),
            _rate(name, each.seconds),
        )
    return shown


def _change(later_s: float | None, cool_s: float) -> str:
    return "" if later_s is None else f"{later_s / cool_s - 1:+.1%}"


def _rate(name: str, taken_s: float) -> str:
    from acesniper.probe.suite import TRANSFERS

    return f"{TRANSFERS[name] / taken_s / 1e9:.3g} GB/s" if name in TRANSFERS else ""
