"""Arrivals written down: one row of a CSV file per task."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.table import read_rows


@dataclass(frozen=True, slots=True)
class Arrival:
    """A task of a trace; what a row leaves open is None. `deadline_s` counts from its arrival."""

    at_s: float
    model: str | None = None
    inferences: int | None = None
    deadline_s: float | None = None


def read_trace(path: Path) -> list[Arrival]:
    """The arrivals in a file with the column `arrival_s`, perhaps `model, inferences, deadline_s`.

    Raises:
        InvalidInput: it is no such file, or a number in it is none.
    """
    rows = read_rows(path)
    if not rows or "arrival_s" not in rows[0]:
        raise InvalidInput(f"{path} has no row, or no column arrival_s")
    try:
        found = [_arrival(row) for row in rows]
    except ValueError as error:
        raise InvalidInput(f"{path}: {error}") from error
    return sorted(found, key=lambda each: each.at_s)


def _arrival(row: Mapping[str, str]) -> Arrival:
    at_s = _number(row["arrival_s"], least=0.0)
    inferences, deadline_s = row.get("inferences"), row.get("deadline_s")
    return Arrival(
        at_s,
        row.get("model") or None,
        int(_number(inferences, least=1.0)) if inferences else None,
        _number(deadline_s, least=0.0) if deadline_s else None,
    )


def _number(text: str, *, least: float) -> float:
    value = float(text)
    if not math.isfinite(value) or value < least:
        raise ValueError(f"{text!r} is no number of {least:g} or more")
    return value
