"""Output of commands: results go to standard output, progress and errors to standard error.

Results quote names and messages from clusters and files. All text is printed through the consoles
of this module, which write characters that control a terminal as escapes, and read no markup.

rich is imported when something is printed: its import takes longer than a request to a cluster.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from acesniper.domain.foreign_text import printable_text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

MAX_WIDTH = 10_000
"""Wider than any table."""
PROGRESS_DELAY_S = 2.0
"""A progress bar appears after this time."""


@cache
def out() -> "Console":
    """The console on standard output."""
    return make_console()


@cache
def err() -> "Console":
    """The console on standard error."""
    return make_console(stderr=True)


def make_console(**options: Any) -> "Console":  # noqa: ANN401 - as of rich
    """A console for foreign text; style text with `rich.text.Text`, as markup is not read."""
    from rich.console import Console
    from rich.segment import Segment

    class SafeConsole(Console):
        """Writes the control characters of every text as escapes."""

        def render(
            self, renderable: "RenderableType", options: "ConsoleOptions | None" = None
        ) -> "Iterable[Segment]":
            """Render content as segments of text."""
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(printable_text(text, keep="\n"), style)

        def render_str(self, text: str, **options: Any) -> "Text":  # noqa: ANN401 - as of rich
            """Convert a string, which is measured before it is rendered."""
            return super().render_str(printable_text(text, keep="\n"), **options)

    return SafeConsole(markup=False, emoji=False, **options)


def print_table(content: "Table | str", console: "Console | None" = None) -> None:
    """Print a table without truncation, as kubectl does; wrap a text at the terminal's width."""
    from rich.measure import Measurement

    console = console or out()
    if isinstance(content, str):
        console.print(content, soft_wrap=True)
        return
    options = console.options.update(max_width=MAX_WIDTH)
    width = Measurement.get(console, options, content).maximum
    make_console(width=max(width, console.width)).print(content)


def print_json(value: object) -> None:
    """Print a value as JSON, without colours or wrapping."""
    print(json.dumps(value, indent=2))


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, shown after a moment; yields a setter of its count."""
    if not sys.stderr.isatty():
        yield lambda completed: None
        return

    from rich.progress import Progress

    start = time.monotonic()
    with Progress(console=err(), transient=True) as progress:
        bar = progress.add_task(label, total=total, visible=False)

        def update(completed: int) -> None:
            visible = time.monotonic() - start > PROGRESS_DELAY_S
            progress.update(bar, completed=completed, visible=visible)

        yield update


def quantity_text(value: float, unit: str) -> str:
    """A quantity with an SI prefix, such as 4.09 G or 25.6 M."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def age_text(age_s: float) -> str:
    """An age as kubectl prints it: 45s, 12m, 5h, 40d."""
    for unit, size_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if age_s >= 2 * size_s:
            return f"{age_s / size_s:.0f}{unit}"
    return f"{age_s:.0f}s"
