"""`acesniper faults`: kill the parts over a workload, and see what is lost."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from acesniper.cli.console import err, out
from acesniper.cli.options import in_a_folder


def command(
    kills: Annotated[int, typer.Option(help="How often each part is killed.", min=1)] = 50,
    tasks: Annotated[int, typer.Option(help="Tasks that come in meanwhile.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Draws the instants.")] = 1,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", callback=in_a_folder, help="Also write the figures to this file."),
    ] = None,
) -> None:
    """Kill operator and extender at random instants over a workload; nothing may be lost.

    Starts a real control plane, as the demo does; after each campaign every task has to have ended
    well, exactly once, and nothing may be left behind. Ends with 1 otherwise.
    """
    from acesniper.testbed.errors import TestbedError
    from acesniper.testbed.faults.chaos import ChaosOptions, run_faults

    # Ended from outside, it still stops what it started and removes its files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run_faults(ChaosOptions(kills, tasks, seed, json_file), out)
    except TestbedError as error:
        err.print(f"error: {error}", markup=False, highlight=False)
        raise typer.Exit(1) from error
