"""The testbed's command line, which the Makefile calls: `python -m acesniper.testbed COMMAND`."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from acesniper.testbed.chart import generated as chart
from acesniper.testbed.errors import TestbedError
from acesniper.testbed.go_build import find_go
from acesniper.testbed.images import build_images
from acesniper.testbed.programs import KUBERNETES, ensure_binaries, ensure_stores, install_tools

Arguments = argparse.Namespace


def main(argv: list[str]) -> None:
    """Run one command.

    Raises:
        TestbedError: a program is missing, a build failed, or a check of the demo failed.
    """
    arguments = _parser().parse_args(argv)
    # On SIGTERM, too, the processes that a command started are stopped and its files removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="acesniper.testbed", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[Arguments], None], summary: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=summary)
        command.set_defaults(run=run)
        return command

    add("toolchain", _toolchain, "Fail unless a new enough Go compiler is installed.")
    add("control-plane", _control_plane, "Build the control plane; print the folder.")
    add("stores", _stores, "Build the object store and the OCI registry; print the folder.")
    add("images", _images, "Build the container images with buildah; print their sizes.")
    tools = add("tools", _tools, "Install kubectl, helm and promtool into a folder.")
    tools.add_argument("folder", type=Path)
    generated = add("chart", _chart, "Write the generated files of the Helm chart.")
    generated.add_argument("--check", action="store_true", help="Fail if a file is out of date.")
    demo = add("demo", _demo, "Place a workload on an emulated fleet, ours against the default.")
    demo.add_argument("--tasks", type=int, default=72, help="Number of InferenceTasks.")
    demo.add_argument("--waves", type=int, default=12, help="Number of waves they arrive in.")
    faults = add("faults", _faults, "Kill the components during a workload; check the outcome.")
    faults.add_argument("--kills", type=int, default=50, help="Kills of each component.")
    faults.add_argument("--tasks", type=int, default=200, help="Number of InferenceTasks.")
    for command in (demo, faults):
        command.add_argument("--seed", type=int, default=1, help="Seed of the random numbers.")
        command.add_argument("--json", type=Path, help="Also write the results to this file.")
    return parser


def _toolchain(_: Arguments) -> None:
    print(find_go(KUBERNETES))


def _control_plane(_: Arguments) -> None:
    print(ensure_binaries())


def _stores(_: Arguments) -> None:
    print(ensure_stores())


def _images(_: Arguments) -> None:
    print("\n".join(build_images()))


def _tools(arguments: Arguments) -> None:
    print("\n".join(map(str, install_tools(arguments.folder))))


def _chart(arguments: Arguments) -> None:
    if not arguments.check:
        print("\n".join(f"wrote {path}" for path in chart.write()))
    elif outdated := chart.drift():
        sys.exit("\n".join(f"{path} is out of date: run `make generate`" for path in outdated))


def _demo(arguments: Arguments) -> None:
    from acesniper.testbed.demo.run import DemoOptions, run_demo

    options = DemoOptions(arguments.tasks, arguments.waves, arguments.seed, arguments.json)
    run_demo(options, Console())


def _faults(arguments: Arguments) -> None:
    from acesniper.testbed.faults.chaos import ChaosOptions, run_faults

    options = ChaosOptions(arguments.kills, arguments.tasks, arguments.seed, arguments.json)
    run_faults(options, Console())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TestbedError as error:
        sys.exit(f"error: {error}")
