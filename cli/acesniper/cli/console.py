"""Where commands print: results to standard output, progress to standard error."""

import json

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

out = Console()
err = Console(stderr=True)
WIDEST = 10_000
"""Columns that no table needs."""


def print_wide(shown: Table | str) -> None:
    """A table as wide as its rows are, as kubectl prints them; text as the terminal breaks it.

    No name is cut, however narrow the terminal is: it is there to be copied.
    """
    if isinstance(shown, str):
        out.print(shown, soft_wrap=True)
        return
    needed = Measurement.get(out, out.options.update(max_width=WIDEST), shown).maximum
    Console(width=max(needed, out.width)).print(shown)


def print_json(value: object) -> None:
    """A result for machines; bare lines, never wrapped or coloured."""
    print(json.dumps(value, indent=2))


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
