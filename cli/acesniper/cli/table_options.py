"""Options of commands that read a table of latencies, and what stands in their files."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer

from acesniper.domain.errors import InvalidInput

Column = Annotated[list[str], typer.Option(help="May be repeated: the values are joined by `|`.")]
LatencyColumn = Annotated[str, typer.Option(help="In milliseconds.")]


def flat(columns: Collection[str]) -> tuple[str, ...]:
    """Columns given one by one, or several in one joined by `|` or a comma."""
    return tuple(part for each in columns for part in each.replace(",", "|").split("|"))


def references(given: str) -> list[str]:
    """A list of names from FILE or FILE:KEY. Raises InvalidInput."""
    path, _, key = (given, "", "") if Path(given).is_file() else given.rpartition(":")
    try:
        found = json.loads(text(Path(path)))
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{path} is not JSON: {error}") from error
    if isinstance(found, dict) and key:
        found = found.get(key)
    if not isinstance(found, list):
        raise InvalidInput(f"{given} names no list of models; give REF.json:KEY")
    return [str(name) for name in found]


def as_written(references: Sequence[str], models: Collection[str]) -> list[str]:
    """The references as the table writes them: `@` may join columns as `|` does there."""
    return [name if name in models else name.replace("@", "|") for name in references]


def text(path: Path) -> str:
    """What a file says. Raises InvalidInput."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not readable: {error}") from error
