"""Where commands print: results to standard output, progress to standard error."""

import json

from rich.console import Console, RenderableType

out = Console()
err = Console(stderr=True)
PIPE_WIDTH = 200
"""Columns of a table that no terminal shows, in a pipe or a file."""


def print_wide(shown: RenderableType) -> None:
    """A table with many columns, as wide as the terminal is; without one it is not folded."""
    (out if out.is_terminal else Console(width=PIPE_WIDTH)).print(shown)


def print_json(value: object) -> None:
    """A result for machines; bare lines, never wrapped or coloured."""
    print(json.dumps(value, indent=2))


def seconds(value: float) -> str:
    """A duration for people: 15.2 ms, 1.31 s."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def amount(value: float, unit: str) -> str:
    """A count for people: 4.09 G, 25.6 M."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def age(passed_s: float) -> str:
    """How long ago, for people, as kubectl writes it: 45s, 12m, 5h, 40d."""
    for unit, size_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if passed_s >= 2 * size_s:
            return f"{passed_s / size_s:.0f}{unit}"
    return f"{passed_s:.0f}s"
