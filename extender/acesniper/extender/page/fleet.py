"""The fleet as a list: what each device is, how fast, how busy and how well."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from acesniper.api.objects import Json
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import DeviceProfile
from acesniper.domain.device import Device, DeviceId
from acesniper.domain.reservations import Reservation
from acesniper.extender.latency_table import LatencyView

SAMPLED_MODELS = 64
"""Models that say how fast each device is; more would not say it better."""
SAMPLED_DEVICES = 256
"""Devices that say how slow each model is."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The latency table with the quick ones first; NaN where nothing is predicted.

    `rows` and `columns` say where the `models` and `devices` stand in `latency`. A device's speed
    is relative to the fleet's mean, over typical models: 2 is twice as fast.
    """

    models: Sequence[str]
    devices: Sequence[str]
    rows: np.ndarray
    columns: np.ndarray
    seen: LatencyView
    speed: Mapping[str, float]

    @classmethod
    def of(cls, seen: LatencyView) -> "Ranking":
        """Work it out; some 10 ms for 5,000 devices and 1,000 models."""
        models, devices = list(seen.rows), list(seen.columns)
        rows = np.fromiter(seen.rows.values(), np.intp, len(models))
        columns = np.fromiter(seen.columns.values(), np.intp, len(devices))
        if not seen.latency.size or not models or not devices:
            return cls([], [], rows[:0], columns[:0], seen, {})
        some = np.log(seen.latency[np.ix_(rows, _spread(columns, SAMPLED_DEVICES))])
        down = np.argsort(_mean(some, axis=1), kind="stable")
        typical = np.log(seen.latency[np.ix_(_spread(rows, SAMPLED_MODELS), columns)])
        slowness = _mean(typical - _mean(typical, axis=1)[:, None], axis=0)
        across = np.argsort(slowness, kind="stable")
        speeds = zip(devices, np.exp(-slowness).tolist(), strict=True)
        return cls(
            [models[each] for each in down],
            [devices[each] for each in across],
            rows[down],
            columns[across],
            seen,
            {device: speed for device, speed in speeds if speed == speed},
        )


@dataclass(slots=True)
class RankingCache:
    """The ranking of the newest table that was asked for."""

    _made: Ranking | None = None

    def of(self, seen: LatencyView) -> Ranking:
        """The ranking of a table; may be called in any thread, by one at a time."""
        if self._made is None or self._made.seen is not seen:
            self._made = Ranking.of(seen)
        return self._made


def _spread(places: np.ndarray, most: int) -> np.ndarray:
    """At most so many, evenly spread."""
    return places[:: -(-len(places) // most)]


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


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


PROBLEM_CONDITIONS = {"Drifting", "Noisy", "Stale"}
"""Conditions of a profile that say something is not as it should be."""


@dataclass(frozen=True, slots=True)
class DeviceQuery:
    """What to show: a page of the devices whose name, node or provider has `search` in it."""

    search: str = ""
    sort: str = "backlog"
    descending: bool = True
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class FleetView:
    """The devices, their profiles and what is promised to them, at one moment."""

    now_s: float
    devices: Sequence[Device]
    profiles: Mapping[DeviceId, DeviceProfile]
    promises: Sequence[Reservation]

    def totals(self) -> Json:
        """The fleet in a few numbers."""
        busy = {each.device for each in self.promises}
        worried = sum(bool(_worries(self.profiles.get(each.id))) for each in self.devices)
        return {
            "devices": len(self.devices),
            "ready": sum(each.schedulable for each in self.devices),
            "busy": sum(each.id in busy for each in self.devices),
            "worried": worried,
            "slots": sum(each.slots for each in self.devices),
            "backlogSeconds": round(
                sum(each.remaining_s(self.now_s) * each.slots for each in self.promises), 3
            ),
        }

    def page(self, ranking: Ranking, listing: DeviceQuery) -> Json:
        """One page of the list, and how long the list is."""
        backlog_s: dict[str, float] = {}
        taken: dict[str, int] = {}
        for each in self.promises:
            left_s = each.remaining_s(self.now_s) * each.slots
            backlog_s[each.device] = backlog_s.get(each.device, 0.0) + left_s
            taken[each.device] = taken.get(each.device, 0) + each.slots
        keys: dict[str, Callable[[Device], Any]] = {
            "backlog": lambda each: backlog_s.get(each.id, 0.0),
            "speed": lambda each: ranking.speed.get(each.id, 0.0),
            "measured": lambda each: -(self._measured_s(each) or self.now_s),
            "health": lambda each: (not each.schedulable, len(self._worries(each))),
            "name": lambda each: each.id,
        }
        found = [each for each in self.devices if _fits(each, listing.search)]
        found.sort(key=lambda each: each.id)
        found.sort(key=keys.get(listing.sort, keys["name"]), reverse=listing.descending)
        shown = found[listing.offset : listing.offset + listing.limit]
        return {
            "matching": len(found),
            "fastest": round(max(ranking.speed.values(), default=0.0), 3),
            "longestSeconds": round(max(backlog_s.values(), default=0.0), 3),
            "devices": [
                self._row(each, ranking, backlog_s.get(each.id, 0.0), taken.get(each.id, 0))
                for each in shown
            ],
        }

    def _row(self, device: Device, ranking: Ranking, backlog_s: float, taken: int) -> Json:
        profile = self.profiles.get(device.id)
        status = profile.status if profile else None
        speed = ranking.speed.get(device.id)
        return {
            "device": device.id,
            "node": device.node,
            "provider": device.provider,
            "slots": device.slots,
            "taken": taken,
            "ready": device.schedulable,
            "worries": self._worries(device),
            "speed": None if speed is None else round(speed, 3),
            "backlogSeconds": round(backlog_s, 3),
            "measuredAt": self._measured_s(device),
            "text": status.text if status else None,
            "calibration": status.calibration if status else None,
        }

    def _worries(self, device: Device) -> list[str]:
        return _worries(self.profiles.get(device.id))

    def _measured_s(self, device: Device) -> float | None:
        profile = self.profiles.get(device.id)
        measured_at = profile.status.measured_at if profile else None
        return epoch_s(measured_at) if measured_at else None


def _worries(profile: DeviceProfile | None) -> list[str]:
    if profile is None:
        return []
    true = (each.type for each in profile.status.conditions if each.status == "True")
    return sorted(PROBLEM_CONDITIONS.intersection(true))


def _fits(device: Device, search: str) -> bool:
    return search.lower() in f"{device.id} {device.node} {device.provider}".lower()
