"""Options that several commands share."""

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from acesniper.domain.errors import InvalidInput

Batch = Annotated[int, typer.Option(help="Items in one inference.", min=1)]
Shapes = Annotated[
    list[str],
    typer.Option(
        "--shape",
        metavar="NAME=SIZE",
        help="Size of a symbolic dimension other than the batch; may be repeated.",
    ),
]
Threads = Annotated[
    int, typer.Option(help="Threads inside one operator; 0 means one per core allowed.", min=0)
]
RuntimeName = Annotated[str, typer.Option("--runtime", help="onnxruntime, openvino or tract.")]
Precision = Annotated[str, typer.Option(help="f32, or bf16 where the runtime has it.")]
Optimise = Annotated[bool, typer.Option(help="Let the runtime optimise the graph.")]
DEFAULT_NAMESPACE = "acesniper"
"""The namespace that the documents install Ace-Sniper into."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX file.")]


class Output(StrEnum):
    """How much of a table is shown."""

    TABLE = "table"
    WIDE = "wide"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="wide: more columns.")]


def writable_path(path: Path | None) -> Path | None:
    """Refuse a file that nobody could write: at once, and not after minutes of work."""
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path


def parse_shapes(texts: Sequence[str]) -> dict[str, int]:
    """NAME=SIZE pairs as a mapping. Raises InvalidInput."""
    sizes: dict[str, int] = {}
    for text in texts:
        name, _, size = text.rpartition("=")
        if not name or not size.isdecimal():
            raise InvalidInput(f"--shape wants NAME=SIZE with a whole number, not {text!r}")
        sizes[name] = int(size)
    return sizes


def thread_count(threads: int) -> int:
    """The threads to use: those asked for, or one per core this process may use."""
    return threads or len(os.sched_getaffinity(0))
