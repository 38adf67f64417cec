"""The heat map: a window of the latency table, in blocks where there is more than can be seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from acesniper.extender.page.fleet import Ranking

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HeatMapWindow:
    """Which models and devices, by their rank; and into how many blocks at most."""

    row: int = 0
    rows: int = 1_000_000
    column: int = 0
    columns: int = 1_000_000
    height: int = 48
    width: int = 96


def heat_map(ranking: Ranking, window: HeatMapWindow) -> Json:
    """The window's blocks: for each its latency with the interval, in seconds.

    A block of several pairs has their geometric means. `null`: nothing is predicted there.
    """
    down = _edges(window.row, window.rows, len(ranking.models), window.height)
    across = _edges(window.column, window.columns, len(ranking.devices), window.width)
    middle, spread = _blocks(ranking, down, across)
    return {
        "models": len(ranking.models),
        "devices": len(ranking.devices),
        "source": ranking.seen.source,
        "rows": _groups(ranking.models, down),
        "columns": _groups(ranking.devices, across),
        "latencySeconds": _seconds(middle),
        "lowSeconds": _seconds(middle - spread),
        "highSeconds": _seconds(middle + spread),
    }


def _edges(start: int, count: int, size: int, most: int) -> list[int]:
    """Where each block begins, and where the last one ends."""
    first = min(max(start, 0), size)
    last = min(first + max(count, 0), size)
    blocks = min(last - first, max(most, 1))
    return [first + (last - first) * each // blocks for each in range(blocks + 1)] if blocks else []


def _blocks(
    ranking: Ranking, down: Sequence[int], across: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    if not down or not across:
        nothing = np.empty((0, 0))
        return nothing, nothing
    where = np.ix_(ranking.rows[down[0] : down[-1]], ranking.columns[across[0] : across[-1]])
    log_s, spread = np.log(ranking.seen.latency[where]), ranking.seen.spread[where]
    known = ~np.isnan(log_s)
    rows, columns = np.array(down[:-1]) - down[0], np.array(across[:-1]) - across[0]

    def total(values: np.ndarray) -> np.ndarray:
        by_row = np.add.reduceat(values, rows, axis=0, dtype=np.float64)
        return np.add.reduceat(by_row, columns, axis=1)

    count = total(known)
    return tuple(
        np.where(count > 0, total(np.where(known, each, 0.0)) / np.maximum(count, 1), np.nan)
        for each in (log_s, spread)
    )  # type: ignore[return-value] # two of them


def _groups(names: Sequence[str], edges: Sequence[int]) -> list[Json]:
    return [
        {"first": names[start], "last": names[end - 1], "at": start, "count": end - start}
        for start, end in pairwise(edges)
    ]


def _seconds(log_s: np.ndarray) -> list[list[float | None]]:
    """To three digits: more cannot be seen, and costs bytes."""
    return [
        [None if value != value else float(f"{value:.3g}") for value in row]
        for row in np.exp(log_s).tolist()
    ]
