"""The table of commands, and the application that imports only the command that is run.

`acesniper run` must not load what only the operator needs, and `--help` should take no time: so the
names and summaries are listed here, and a command's module is imported when it is called.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from inspect import cleandoc
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup


class Command(NamedTuple):
    """A command: its section in the help, its summary, and where it is defined.

    `target` is `MODULE:ATTRIBUTE` below `acesniper.cli`: a function, or a Typer application of
    sub-commands.
    """

    section: str
    summary: str
    target: str


CLUSTER, DEVICE, EVALUATION, SERVICES = (
    "Clusters",
    "Devices and models",
    "Training and evaluation",
    "Services",
)

COMMANDS: Mapping[str, Command] = {
    "top": Command(
        CLUSTER, "Show the devices of a cluster: speed, load and health.", "top:command"
    ),
    "plan": Command(CLUSTER, "Show the planner's schedule of pending tasks.", "plan:command"),
    "explain": Command(CLUSTER, "Show why a task was placed on its device.", "explain:command"),
    "predict": Command(
        CLUSTER, "Predict a model's latency on devices that never ran it.", "predict:command"
    ),
    "network": Command(
        CLUSTER, "Show, roll out and roll back the predictor's network.", "network:app"
    ),
    "doctor": Command(
        CLUSTER, "Check an installation and print how to fix it.", "doctor.command:command"
    ),
    "scheduler-config": Command(
        CLUSTER, "Print the configuration of our kube-scheduler.", "scheduler_config:command"
    ),
    "probe": Command(DEVICE, "Measure this device.", "probe:command"),
    "model": Command(DEVICE, "Show the work and memory of a model.", "model:app"),
    "run": Command(DEVICE, "Run a model over batches, as the pod of a task does.", "run:command"),
    "collect": Command(DEVICE, "Measure models on this device into a table.", "collect:command"),
    "simulate": Command(
        EVALUATION,
        "Simulate policies on measured latencies, without a cluster.",
        "simulate:command",
    ),
    "evaluate": Command(EVALUATION, "Evaluate predictions on held-out latencies.", "evaluate:app"),
    "train": Command(EVALUATION, "Train the network that predicts latencies.", "train:command"),
    "operator": Command(SERVICES, "Run the operator.", "services:operator"),
    "extender": Command(SERVICES, "Run the scheduler extender and planner.", "services:extender"),
}


class SectionedGroup(TyperGroup):
    """A group whose help lists the commands by section."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own
        """Write a list for each section."""
        for section, names in sections().items():
            with formatter.section(section):
                formatter.write_dl([(name, COMMANDS[name].summary) for name in names])


def application(arguments: Sequence[str]) -> typer.Typer:
    """The application for these arguments: only the command that they name is imported."""
    app = typer.Typer(
        cls=SectionedGroup,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # rich takes longer to import than all of typer
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    requested = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, command in COMMANDS.items():
        if name == requested:
            _add(app, name, command)
        else:
            app.command(name, help=command.summary)(_placeholder)
    return app


def sections() -> Mapping[str, Sequence[str]]:
    """The names of the commands by section."""
    by_section: dict[str, list[str]] = {}
    for name, command in COMMANDS.items():
        by_section.setdefault(command.section, []).append(name)
    return by_section


def format_help(text: str | None) -> str:
    """A docstring whose paragraphs are wrapped by the terminal; examples keep their lines."""
    paragraphs = cleandoc(text or "").split("\n\n")
    return "\n\n".join(
        f"\b\n{paragraph}" if paragraph.startswith("Example") else paragraph.replace("\n", " ")
        for paragraph in paragraphs
    )


def _add(app: typer.Typer, name: str, command: Command) -> None:
    module, _, attribute = command.target.partition(":")
    target = getattr(import_module(f"acesniper.cli.{module}"), attribute)
    if isinstance(target, typer.Typer):
        for nested in target.registered_commands:
            nested.help = format_help(nested.callback.__doc__)
        app.add_typer(target, name=name, help=command.summary)
    else:
        app.command(name, help=format_help(target.__doc__))(target)


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(version("acesniper"))
        raise typer.Exit


def _root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Places AI inference on heterogeneous edge nodes by predicted latency."""


def _placeholder() -> None:
    """Takes the place of a command that is not run."""
