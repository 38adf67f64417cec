"""`acesniper doctor`: what is wrong with an installation, and how to mend it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from acesniper.cli.connection import Connection, ContextOption, KubeconfigOption
from acesniper.cli.console import out, print_json
from acesniper.cli.doctor.command.checks import Check, asked, examine
from acesniper.cli.doctor.command.finding import Finding, Severity
from acesniper.cli.options import JsonOption

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def command(
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Find out what is wrong with an installation: what, where, and the command that mends it.

    Only reads. Ends with 1 if anything is wrong, with 0 if there are warnings at most. Needs the
    rights of a cluster admin to see everything; what you may not see is named.

    Example:
      acesniper doctor
    """
    from acesniper.cli.doctor.command.looking import look

    sight = Connection(kubeconfig, context).ask(look)
    found = examine(sight)
    if json:
        print_json([asdict(each) for each in found])
    else:
        out.print(shown(asked(sight), found), soft_wrap=True)
    if any(each.severity is Severity.ERROR for each in found):
        raise typer.Exit(1)


def shown(checks: Sequence[Check], found: Sequence[Finding]) -> RenderableType:
    """The findings for people, check by check."""
    return Group(*_lines(checks, found))


def _lines(checks: Sequence[Check], found: Sequence[Finding]) -> Iterator[Text]:
    for check in checks:
        own = [each for each in found if each.check == check.name]
        if not own:
            yield Text.assemble(("ok       ", "green"), check.question)
        for each in own:
            yield from _finding(each)
    count = {level: sum(each.severity is level for each in found) for level in Severity}
    if not found:
        yield Text(f"\n{len(checks)} checks, nothing found.", style="bold")
    else:
        errors, warnings = count[Severity.ERROR], count[Severity.WARNING]
        yield Text(f"\n{len(checks)} checks; errors: {errors}, warnings: {warnings}.", style="bold")


def _finding(finding: Finding) -> Iterator[Text]:
    yield Text.assemble((f"{finding.severity.value:8} ", STYLES[finding.severity]), finding.where)
    yield Text(f"         {finding.what}")
    yield Text(f"         to mend: {finding.fix}")
    if finding.command:
        yield Text(f"           {finding.command}", style="bold")
