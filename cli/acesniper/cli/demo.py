"""`acesniper demo`: the whole main job on this machine."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from acesniper.cli.console import err, out
from acesniper.cli.options import in_a_folder


def command(
    tasks: Annotated[int, typer.Option(help="How many InferenceTasks.", min=1, max=1000)] = 72,
    waves: Annotated[int, typer.Option(help="In how many waves they arrive.", min=1)] = 12,
    seed: Annotated[int, typer.Option(help="Of the workload.")] = 1,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", callback=in_a_folder, help="Also write the figures to this file."),
    ] = None,
) -> None:
    """Place a workload on an emulated fleet, next to the stock scheduler.

    Starts a real control plane (etcd, kube-apiserver, kube-controller-manager, both schedulers) on
    free local ports, emulates the devices of examples/devices and this machine with KWOK, applies
    the tasks with kubectl, and prints where each went and how both schedulers fared.
    """
    from acesniper.testbed.demo.run import DemoOptions, run_demo
    from acesniper.testbed.errors import TestbedError

    # Ended from outside, it still stops what it started and removes its files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run_demo(DemoOptions(tasks, waves, seed, json_file), out)
    except TestbedError as error:
        err.print(f"error: {error}", markup=False, highlight=False)
        raise typer.Exit(1) from error
