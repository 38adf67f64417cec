"""Views of the fleet: the list of devices, and the heat map of the latency table.

Both are ordered by a ranking of models and devices by speed, which is computed once per state of
the table.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from acesniper.api.objects import Json
from acesniper.api.reasons import ConditionType
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import DeviceProfile
from acesniper.domain.device import Device, DeviceId
from acesniper.domain.reservations import Reservation
from acesniper.extender.latency_table import LatencyView

SAMPLED_MODELS = 64
"""Models that the speed of each device is computed from; more do not change it noticeably."""
SAMPLED_DEVICES = 256
"""Devices that the latency rank of each model is computed from."""
PROBLEM_CONDITIONS = {ConditionType.DRIFTING, ConditionType.NOISY, ConditionType.STALE}
"""Conditions of a profile that report a problem when true."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The latency table ordered from fast to slow; NaN where nothing is predicted.

    `rows` and `columns` are the indices of `models` and `devices` in `view`. A device's speed is
    relative to the mean of the fleet over the sampled models: 2 is twice as fast.
    """

    models: Sequence[str]
    devices: Sequence[str]
    rows: np.ndarray
    columns: np.ndarray
    view: LatencyView
    speed: Mapping[str, float]

    @classmethod
    def of(cls, view: LatencyView) -> "Ranking":
        """Compute the ranking; about 10 ms for 5,000 devices and 1,000 models."""
        models, devices = list(view.rows), list(view.columns)
        rows = np.fromiter(view.rows.values(), np.intp, len(models))
        columns = np.fromiter(view.columns.values(), np.intp, len(devices))
        if not view.latency.size or not models or not devices:
            return cls([], [], rows[:0], columns[:0], view, {})
        by_model = np.log(view.latency[np.ix_(rows, _sample(columns, SAMPLED_DEVICES))])
        model_order = np.argsort(_known_mean(by_model, axis=1), kind="stable")
        sampled = np.log(view.latency[np.ix_(_sample(rows, SAMPLED_MODELS), columns)])
        slowness = _known_mean(sampled - _known_mean(sampled, axis=1)[:, None], axis=0)
        device_order = np.argsort(slowness, kind="stable")
        speeds = zip(devices, np.exp(-slowness).tolist(), strict=True)
        return cls(
            [models[index] for index in model_order],
            [devices[index] for index in device_order],
            rows[model_order],
            columns[device_order],
            view,
            {device: speed for device, speed in speeds if speed == speed},
        )


@dataclass(slots=True)
class RankingCache:
    """The ranking of the latest table that was asked for."""

    _latest: Ranking | None = None

    def of(self, view: LatencyView) -> Ranking:
        """Return the ranking of a table. May be called in any thread, by one at a time."""
        if self._latest is None or self._latest.view is not view:
            self._latest = Ranking.of(view)
        return self._latest


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceQuery:
    """A page of the devices whose name, node or provider contains `search`."""

    search: str = ""
    sort: str = "backlog"
    descending: bool = True
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class FleetView:
    """The devices with their profiles and reservations at `now_s`, in seconds since the epoch."""

    now_s: float
    devices: Sequence[Device]
    profiles: Mapping[DeviceId, DeviceProfile]
    reservations: Sequence[Reservation]

    def totals(self) -> Json:
        """Return the fleet in a few numbers."""
        busy = {reservation.device for reservation in self.reservations}
        return {
            "devices": len(self.devices),
            "ready": sum(device.schedulable for device in self.devices),
            "busy": sum(device.id in busy for device in self.devices),
            "problems": sum(bool(self._problems(device)) for device in self.devices),
            "slots": sum(device.slots for device in self.devices),
            "backlogSeconds": round(sum(map(self._work_s, self.reservations)), 3),
        }

    def page(self, ranking: Ranking, query: DeviceQuery) -> Json:
        """Return one page of the list, and the number of matching devices."""
        backlog_s: dict[str, float] = {}
        slots_taken: dict[str, int] = {}
        for reservation in self.reservations:
            device_id = reservation.device
            backlog_s[device_id] = backlog_s.get(device_id, 0.0) + self._work_s(reservation)
            slots_taken[device_id] = slots_taken.get(device_id, 0) + reservation.slots
        keys: dict[str, Callable[[Device], Any]] = {
            "backlog": lambda device: backlog_s.get(device.id, 0.0),
            "speed": lambda device: ranking.speed.get(device.id, 0.0),
            "measured": lambda device: -(self._measured_s(device) or self.now_s),
            "health": lambda device: (not device.schedulable, len(self._problems(device))),
            "name": lambda device: device.id,
        }
        matching = [device for device in self.devices if _matches(device, query.search)]
        matching.sort(key=lambda device: device.id)
        matching.sort(key=keys.get(query.sort, keys["name"]), reverse=query.descending)
        return {
            "matching": len(matching),
            "fastest": round(max(ranking.speed.values(), default=0.0), 3),
            "longestSeconds": round(max(backlog_s.values(), default=0.0), 3),
            "devices": [
                self._row(
                    device,
                    ranking.speed.get(device.id),
                    backlog_s.get(device.id, 0.0),
                    slots_taken.get(device.id, 0),
                )
                for device in matching[query.offset : query.offset + query.limit]
            ],
        }

    def _row(self, device: Device, speed: float | None, backlog_s: float, taken: int) -> Json:
        profile = self.profiles.get(device.id)
        status = profile.status if profile else None
        return {
            "device": device.id,
            "node": device.node,
            "provider": device.provider,
            "slots": device.slots,
            "taken": taken,
            "ready": device.schedulable,
            "problems": self._problems(device),
            "speed": None if speed is None else round(speed, 3),
            "backlogSeconds": round(backlog_s, 3),
            "measuredAt": self._measured_s(device),
            "text": status.text if status else None,
            "calibration": status.calibration if status else None,
        }

    def _work_s(self, reservation: Reservation) -> float:
        return reservation.remaining_s(self.now_s) * reservation.slots

    def _problems(self, device: Device) -> list[str]:
        profile = self.profiles.get(device.id)
        conditions = profile.status.conditions if profile else ()
        true = (condition.type for condition in conditions if condition.status == "True")
        return sorted(PROBLEM_CONDITIONS.intersection(true))

    def _measured_s(self, device: Device) -> float | None:
        profile = self.profiles.get(device.id)
        measured_at = profile.status.measured_at if profile else None
        return epoch_s(measured_at) if measured_at else None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMapWindow:
    """A range of models and devices by rank, and the largest number of blocks to show it in."""

    row: int = 0
    rows: int = 1_000_000
    column: int = 0
    columns: int = 1_000_000
    height: int = 48
    width: int = 96


def heat_map(ranking: Ranking, window: HeatMapWindow) -> Json:
    """Return the latency and interval of each block of the window, in seconds.

    A block of several pairs has their geometric means; null where nothing is predicted.
    """
    row_edges = _edges(window.row, window.rows, len(ranking.models), window.height)
    column_edges = _edges(window.column, window.columns, len(ranking.devices), window.width)
    log_s, spread = _block_means(ranking, row_edges, column_edges)
    return {
        "models": len(ranking.models),
        "devices": len(ranking.devices),
        "source": ranking.view.source,
        "rows": _groups(ranking.models, row_edges),
        "columns": _groups(ranking.devices, column_edges),
        "latencySeconds": _seconds(log_s),
        "lowSeconds": _seconds(log_s - spread),
        "highSeconds": _seconds(log_s + spread),
    }


def _edges(start: int, count: int, size: int, max_blocks: int) -> list[int]:
    """Return where each block begins, and where the last one ends."""
    first = min(max(start, 0), size)
    last = min(first + max(count, 0), size)
    blocks = min(last - first, max(max_blocks, 1))
    if not blocks:
        return []
    return [first + (last - first) * block // blocks for block in range(blocks + 1)]


def _block_means(
    ranking: Ranking, row_edges: Sequence[int], column_edges: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    if not row_edges or not column_edges:
        empty = np.empty((0, 0))
        return empty, empty
    where = np.ix_(
        ranking.rows[row_edges[0] : row_edges[-1]],
        ranking.columns[column_edges[0] : column_edges[-1]],
    )
    log_s, spread = np.log(ranking.view.latency[where]), ranking.view.spread[where]
    known = ~np.isnan(log_s)
    rows = np.array(row_edges[:-1]) - row_edges[0]
    columns = np.array(column_edges[:-1]) - column_edges[0]

    def block_sums(values: np.ndarray) -> np.ndarray:
        by_row = np.add.reduceat(values, rows, axis=0, dtype=np.float64)
        return np.add.reduceat(by_row, columns, axis=1)

    count = block_sums(known)

    def block_means(values: np.ndarray) -> np.ndarray:
        sums = block_sums(np.where(known, values, 0.0))
        return np.where(count > 0, sums / np.maximum(count, 1), np.nan)

    return block_means(log_s), block_means(spread)


def _groups(names: Sequence[str], edges: Sequence[int]) -> list[Json]:
    return [
        {"first": names[start], "last": names[end - 1], "at": start, "count": end - start}
        for start, end in pairwise(edges)
    ]


def _seconds(log_s: np.ndarray) -> list[list[float | None]]:
    """To three digits: more are not visible and only cost bytes."""
    return [
        [None if value != value else float(f"{value:.3g}") for value in row]
        for row in np.exp(log_s).tolist()
    ]


def _matches(device: Device, search: str) -> bool:
    return search.lower() in f"{device.id} {device.node} {device.provider}".lower()


def _sample(indices: np.ndarray, count: int) -> np.ndarray:
    """Return at most `count` indices, evenly spaced."""
    return indices[:: -(-len(indices) // count)]


def _known_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean of the known values; NaN without known values."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
