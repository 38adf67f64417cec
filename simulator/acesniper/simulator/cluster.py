"""Selection of the devices and models of a table for a simulated cluster.

A table has gaps, and no latency is invented: devices are taken in order of their number of
measurements, with the models that all of them have run, such that the block without gaps is the
largest. A cluster of a given size is drawn from the devices of that block, alternating between
groups of devices (such as the units of one board). If more devices are requested than there are,
devices are repeated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.domain.device import Device, DeviceId, NodeName
from acesniper.domain.errors import InvalidInput
from acesniper.predictor.tables.measurements import MeasuredTable, device_group

PROVIDER = "table"
"""The provider of every simulated device."""


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedCluster:
    """A part of a table: device i is its row `rows[i]`, model j its column `columns[j]`.

    `latency_s` (devices, models) is what one inference really takes.
    """

    devices: tuple[Device, ...]
    models: tuple[str, ...]
    rows: np.ndarray
    columns: np.ndarray
    latency_s: np.ndarray

    def capacity_per_s(self, inferences: float) -> float:
        """Tasks per second that all devices complete with a uniform mix of models."""
        return float((1.0 / (inferences * self.latency_s.mean(axis=1))).sum())


def select_cluster(table: MeasuredTable, size: int | None, seed: int) -> SimulatedCluster:
    """The cluster of a table; all devices of its block, or `size` of them drawn by `seed`."""
    rows, columns = largest_block(table, size or 1)
    if size is not None:
        rows = _drawn(table, rows, size, np.random.default_rng([seed, 1]))
    names = _unique([table.devices[row] for row in rows])
    return SimulatedCluster(
        tuple(Device(DeviceId(name), NodeName(name), PROVIDER, 1, 0) for name in names),
        tuple(table.models[column] for column in columns),
        rows,
        columns,
        np.exp(table.log_ms[np.ix_(rows, columns)]) / 1e3,
    )


def largest_block(table: MeasuredTable, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the largest block without gaps, of at least `least` devices if possible.

    Raises:
        InvalidInput: no device has run anything.
    """
    measured = np.isfinite(table.log_ms)
    order = np.argsort(-measured.sum(axis=1), kind="stable")
    shared = np.logical_and.accumulate(measured[order], axis=0)
    count = np.arange(1, len(order) + 1)
    cells = count * shared.sum(axis=1)
    wide = cells * (count >= min(least, len(order)))
    best = int(
        np.flatnonzero((wide if wide.any() else cells) == (wide if wide.any() else cells).max())[-1]
    )
    if not cells[best]:
        raise InvalidInput("no device of the table has run any model")
    return np.sort(order[: best + 1]), np.flatnonzero(shared[best])


def _drawn(
    table: MeasuredTable, rows: np.ndarray, size: int, draw: np.random.Generator
) -> np.ndarray:
    """Draw rows from the groups in turn; no row is repeated before all are drawn."""
    groups: dict[str, list[int]] = {}
    for row in draw.permutation(rows).tolist():
        groups.setdefault(device_group(table.devices[row]), []).append(row)
    turns = list(_in_turns(list(groups.values())))
    return np.array([turns[i % len(turns)] for i in range(size)])


def _in_turns(groups: Sequence[list[int]]) -> Iterator[int]:
    """Members of the groups in round-robin order."""
    for turn in range(max(map(len, groups))):
        yield from (group[turn] for group in groups if turn < len(group))


def _unique(names: Sequence[str]) -> list[str]:
    """The names, with a number appended to repeated ones."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return unique
