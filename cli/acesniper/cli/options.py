"""Options that several commands share, and the parsers of their values."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from acesniper.domain.errors import InvalidInput

DEFAULT_NAMESPACE = "acesniper"
"""The namespace that the documentation installs Ace-Sniper into."""


class Output(StrEnum):
    """How many columns a table has."""

    TABLE = "table"
    WIDE = "wide"


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="`wide` prints additional columns.")
]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX file.")]
Batch = Annotated[int, typer.Option(help="Batch size.", min=1)]
Shapes = Annotated[
    list[str],
    typer.Option(
        "--shape",
        metavar="NAME=SIZE",
        help="Size of a symbolic dimension other than the batch; may be repeated.",
    ),
]
Threads = Annotated[
    int, typer.Option(help="Threads within an operator; 0 means one per available core.", min=0)
]
RuntimeName = Annotated[str, typer.Option("--runtime", help="onnxruntime, openvino or tract.")]
Precision = Annotated[str, typer.Option(help="f32, or bf16 if the runtime supports it.")]
Optimise = Annotated[bool, typer.Option(help="Let the runtime optimise the graph.")]
CpuQuota = Annotated[
    float | None,
    typer.Option(help="CPU limit in cores, if no cgroup sets one.", min=0.01),
]
Column = Annotated[
    list[str], typer.Option(help="Column name; may be repeated, the values are joined by `|`.")
]
LatencyColumn = Annotated[str, typer.Option(help="Column with the latency in milliseconds.")]


def writable_path(path: Path | None) -> Path | None:
    """Reject a file in a folder that does not exist, before any long computation starts."""
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"folder {path.parent} does not exist")
    return path


def parse_shapes(texts: Sequence[str]) -> dict[str, int]:
    """Parse NAME=SIZE pairs.

    Raises:
        InvalidInput: a text is not such a pair.
    """
    sizes: dict[str, int] = {}
    for text in texts:
        name, _, size = text.rpartition("=")
        if not name or not size.isdecimal():
            raise InvalidInput(f"--shape {text!r}: expected NAME=SIZE with an integer size")
        sizes[name] = int(size)
    return sizes


def parse_numbers(option: str, text: str) -> Mapping[str, float]:
    """`name=number,name=number` as a mapping; the numbers are positive."""
    from acesniper.runtime import settings

    try:
        return settings.parse_numbers(text)
    except ValueError as error:
        raise InvalidInput(f"{option}: {error}") from error


def parse_integers(option: str, text: str) -> list[int]:
    """Parse `1..3` or `1,2,3` as non-negative integers.

    Raises:
        InvalidInput: the text is neither.
    """
    low, dots, high = text.partition("..")
    try:
        numbers = (
            list(range(int(low), int(high) + 1))
            if dots
            else [int(number) for number in text.split(",")]
        )
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0:
        raise InvalidInput(f"{option} {text!r}: expected a range such as 1..10 or a list 1,2,3")
    return numbers


def parse_range(option: str, text: str) -> tuple[float, float]:
    """Parse `2..8`, or `5` for 5..5, as two positive numbers in order.

    Raises:
        InvalidInput: the text is neither.
    """
    low, dots, high = text.partition("..")
    try:
        limits = float(low), float(high if dots else low)
    except ValueError:
        limits = 0.0, 0.0
    if not 0.0 < limits[0] <= limits[1] < float("inf"):
        raise InvalidInput(f"{option} {text!r}: expected LOW..HIGH with two positive numbers")
    return limits


def parse_columns(columns: Collection[str]) -> tuple[str, ...]:
    """Column names that were given one by one, or several in one text joined by `|` or a comma."""
    return tuple(name for text in columns for name in text.replace(",", "|").split("|"))


def read_references(location: str) -> list[str]:
    """Read a list of names from FILE or FILE:KEY.

    Raises:
        InvalidInput: the file is missing, is not JSON, or has no such list.
    """
    is_file = Path(location).is_file()
    path, _, key = (location, "", "") if is_file else location.rpartition(":")
    try:
        names = json.loads(read_text(Path(path)))
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{path} is not valid JSON: {error}") from error
    if isinstance(names, dict) and key:
        names = names.get(key)
    if not isinstance(names, list):
        raise InvalidInput(f"--references {location!r}: no list of models; use FILE.json:KEY")
    return [str(name) for name in names]


def match_names(references: Sequence[str], models: Collection[str]) -> list[str]:
    """The references in the table's notation, which joins columns by `|` where they may use `@`."""
    return [name if name in models else name.replace("@", "|") for name in references]


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error


def thread_count(threads: int) -> int:
    """The requested number of threads; for 0, the number of cores this process may use."""
    return threads or len(os.sched_getaffinity(0))
