"""Models and devices in the order of their speed, worked out once for each state of the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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
