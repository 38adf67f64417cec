"""`acesniper doctor`: check an installation and print how to fix what is wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from acesniper.cli.connection import Connection, ContextOption, KubeconfigOption
from acesniper.cli.options import JsonOption
from acesniper.domain.foreign_text import bounded_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from acesniper.cli.doctor.checks import Check
    from acesniper.cli.doctor.findings import Finding


def command(
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    json: JsonOption = False,
) -> None:
    """Check an installation and print each problem, its object and the command that fixes it.

    Changes nothing. Exits with 1 if a check found an error, with 0 if there are only warnings.
    Needs the permissions of a cluster administrator for all checks; a check that lacks a permission
    reports that as a warning.

    Example:
      acesniper doctor
    """
    from acesniper.cli.doctor.reader import read_inventory

    inventory = Connection(kubeconfig, context).run(read_inventory)

    from acesniper.cli.console import out, print_json
    from acesniper.cli.doctor.checks import applicable, run_checks
    from acesniper.cli.doctor.findings import Severity

    findings = run_checks(inventory)
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        out().print(report(applicable(inventory), findings), soft_wrap=True)
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise typer.Exit(1)


def report(checks: "Sequence[Check]", findings: "Sequence[Finding]") -> "RenderableType":
    """The result of each check, and the number of errors and warnings."""
    from rich.console import Group

    return Group(*_lines(checks, findings))


def _lines(checks: "Sequence[Check]", findings: "Sequence[Finding]") -> "Iterator[Text]":
    from rich.text import Text

    from acesniper.cli.doctor.findings import Severity

    for check in checks:
        of_check = [finding for finding in findings if finding.check == check.name]
        if not of_check:
            yield Text.assemble(("ok       ", "green"), check.claim)
        for finding in of_check:
            yield from _finding_lines(finding)
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    summary = f"errors: {errors}, warnings: {len(findings) - errors}" if findings else "no problems"
    yield Text(f"\n{len(checks)} checks; {summary}.", style="bold")


def _finding_lines(finding: "Finding") -> "Iterator[Text]":
    from rich.text import Text

    style = {"error": "bold red", "warning": "bold yellow"}[finding.severity]
    # Quotes conditions and events of other programs: each is one line.
    where, what, fix = map(bounded_text, (finding.where, finding.what, finding.fix))
    yield Text.assemble((f"{finding.severity.value:8} ", style), where)
    yield Text(f"         {what}")
    yield Text(f"         fix: {fix}")
    if finding.command:
        yield Text(f"           {finding.command}", style="bold")
