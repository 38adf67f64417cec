"""The command line: `acesniper COMMAND`, or `python -m acesniper.cli COMMAND`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from acesniper.cli.commands import application
from acesniper.domain.errors import AcesniperError, InvalidInput
from acesniper.domain.foreign_text import bounded_text

NAME = "acesniper"
MAX_ERROR_CHARS = 4000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 2 for invalid input, with 1 for other errors of ours."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    program = Path(sys.argv[0]).name
    try:
        application(_words_to_complete() or words)(
            args=words,
            prog_name=program.replace("-", " ") if program.startswith("kubectl") else NAME,
        )
    except InvalidInput as error:
        _fail(error, 2)
    except AcesniperError as error:
        _fail(error, 1)


def _words_to_complete() -> list[str]:
    """The command line that a shell asks to complete, without the program's name."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    return line.split()[1:]


def _fail(error: AcesniperError, code: int) -> None:
    reason = getattr(error, "reason", None)
    label = f"error ({reason})" if reason else "error"
    sys.stderr.write(f"{label}: {bounded_text(error, MAX_ERROR_CHARS)}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
