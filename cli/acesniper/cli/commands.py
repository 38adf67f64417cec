"""The commands, each in a module that is imported only when it is called.

A device has little memory: `acesniper run` must not load what only the operator needs. So the
names and summaries stand here, and `application` imports the one module that was asked for.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from inspect import cleandoc
from typing import Annotated

import typer

COMMANDS: Mapping[str, str] = {
    "probe": "Measure what this device can do.",
    "model": "Read what a model asks for.",
    "predict": "Predict a model's latency on devices that never ran it.",
    "top": "Show the devices of a cluster, what they can do and what they do.",
    "plan": "Show what the planner means to run where, and when.",
    "explain": "Show why a task is where it is, and what came out.",
    "doctor": "Find out what is wrong with an installation, and how to mend it.",
    "run": "Run a model over batches, as a task's pod does.",
    "collect": "Measure models on this device into a CSV table.",
    "train": "Fit the network that predicts latencies to an atlas.",
    "network": "Show, replace and bring back the network that a cluster uses.",
    "evaluate": "Judge the predictions on a table of measured latencies.",
    "simulate": "Play tasks on measured latencies through the policies, without a cluster.",
    "operator": "Run the operator (settings from the environment).",
    "extender": "Run the scheduler extender and planner (settings from the environment).",
    "scheduler-config": "Print the configuration of our kube-scheduler.",
}
"""Name to summary. The module `acesniper.cli.NAME` has a function `command` or a Typer `app`."""

PANELS: Mapping[str, Sequence[str]] = {
    "A cluster": ("top", "plan", "explain", "predict", "network", "doctor", "scheduler-config"),
    "A device or a model": ("probe", "model", "run", "collect"),
    "Trying and judging": ("simulate", "evaluate", "train"),
    "Parts": ("operator", "extender"),
}
"""How the list of commands is divided."""
MORE = "More"
"""What stands in no panel."""

_MODULES: Mapping[str, str] = {"operator": "operating", "scheduler-config": "scheduler_config"}
"""Where the module is named otherwise: a file operator.py would hide the standard library's."""


def application(arguments: Sequence[str]) -> typer.Typer:
    """The application for these arguments, with the real command in place of its stub."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    asked = next((each for each in arguments if not each.startswith("-")), None)
    for panel, names in panels().items():
        for name in names:
            _add(app, name, panel, real=name == asked)
    return app


def panels() -> Mapping[str, Sequence[str]]:
    """All commands by panel."""
    placed = {name for names in PANELS.values() for name in names}
    rest = tuple(name for name in COMMANDS if name not in placed)
    return {**PANELS, MORE: rest} if rest else PANELS


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("acesniper"))
        raise typer.Exit


def _root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Places AI inference on heterogeneous edge nodes by predicted latency."""


def _add(app: typer.Typer, name: str, panel: str, *, real: bool) -> None:
    summary = COMMANDS[name]
    if not real:
        app.command(name, help=summary, rich_help_panel=panel)(_stub)
        return
    module = import_module(f"acesniper.cli.{_MODULES.get(name, name)}")
    if hasattr(module, "app"):
        for each in module.app.registered_commands:
            each.help = flowing(each.callback.__doc__)
        app.add_typer(module.app, name=name, help=summary)
    else:
        app.command(name, help=flowing(module.command.__doc__))(module.command)


def flowing(text: str | None) -> str:
    """A docstring whose paragraphs are broken by the terminal; examples keep their lines."""
    paragraphs = cleandoc(text or "").split("\n\n")
    return "\n\n".join(
        each if each.startswith("Example") else each.replace("\n", " ") for each in paragraphs
    )


def _stub() -> None:
    """Stands in the list of commands for one that was not asked for."""
