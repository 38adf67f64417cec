"""The figures of `acesniper evaluate`, for people and for machines."""

from collections.abc import Mapping, Sequence

from rich.table import Table

SHOWN = {
    **{"cells": "cells", "mean": "mean", "median": "med.", "within10": "<10%", "within20": "<20%"},
    **{"spearman": "spear.", "kendall": "kend.", "regret": "regret"},
    **{"coverage90": "cover", "width90": "width"},
}
"""What is printed of the figures, and under which heading; the JSON file has the rest."""

Figures = Mapping[str, float]


def shown(document: Mapping[str, Mapping[str, object]], *, each: bool) -> Table:
    """The figures per task, and per device on request."""
    rows = [(f"{task} all", document[task]) for task in document if task != "devices"]
    if each:
        for device, tasks in document["devices"].items():
            if isinstance(tasks, Mapping):
                rows += [(f"{task} {device}", found) for task, found in tasks.items()]
    return _table("All figures in per cent", rows)


def improving(steps: Sequence[Mapping[str, int | Figures]]) -> Table:
    """The same figures after so many observations."""
    rows = [
        (f"{task} +{step['observations']}", found)
        for task in ("P1", "P3")
        for step in steps
        if isinstance(found := step[task], Mapping) and found["cells"]
    ]
    return _table("After so many observations on each new device", rows)


def finite(value: object) -> object:
    """The same document with null in place of what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if value != value else value


def _table(title: str, rows: Sequence[tuple[str, Mapping[str, object]]]) -> Table:
    result = Table("", title=title, box=None, pad_edge=False)
    for heading in SHOWN.values():
        result.add_column(heading, justify="right", no_wrap=True)
    for name, found in rows:
        result.add_row(name, *(_figure(key, found.get(key)) for key in SHOWN))
    return result


def _figure(name: str, value: object) -> str:
    if not isinstance(value, float) or value != value:
        return "-"
    return f"{value:.0f}" if name == "cells" else f"{value:.1f}"
