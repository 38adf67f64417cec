"""Hostile names and messages in the output of commands."""

import io

import pytest
from rich.table import Table
from rich.text import Text

from acesniper.cli.__main__ import main
from acesniper.cli.console import make_console, print_table
from acesniper.cli.doctor.command import report
from acesniper.cli.doctor.findings import Finding

HOSTILE = "conv\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp[/][link=http://x]:smile:\r"


def rendered(content: object, *, terminal: bool) -> str:
    file = io.StringIO()
    console = make_console(file=file, force_terminal=terminal, width=200, color_system=None)
    console.print(content)
    return file.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("kind", ["text", "styled", "table"])
def test_control_characters_and_markup_are_printed_as_text(kind: str, terminal: bool) -> None:
    table = Table("Model")
    table.add_row(HOSTILE)
    content = {"text": HOSTILE, "styled": Text(HOSTILE, style="bold"), "table": table}[kind]

    text = rendered(content, terminal=terminal)

    assert text.replace("\n", "").isprintable()
    assert "conv\\x1b]0;owned" in text
    assert "[/][link=http://x]:smile:" in text


def test_a_wide_table_is_safe_too(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("Model")
    table.add_row(HOSTILE)

    print_table(table)

    assert capsys.readouterr().out.replace("\n", "").isprintable()


def test_a_message_of_another_program_is_one_line_of_the_report() -> None:
    message = f"{HOSTILE}\n\n9 checks; no problems.\n" + "x" * 100_000
    finding = Finding(message, f"Node {message}", message)

    lines = rendered(report([], [finding]), terminal=True).splitlines()

    assert not any(line.startswith("9 checks") for line in lines)
    assert len("".join(lines)) < 4000


def test_an_error_that_quotes_a_file_is_one_printable_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["predict", f"{HOSTILE}\nsecond.onnx", "--device", "missing.yaml"])

    error = capsys.readouterr().err
    assert error.endswith("\n")
    assert error[:-1].isprintable()
