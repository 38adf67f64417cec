"""What the planner is told of latencies: the latency table over the devices of the fleet.

Built anew when devices come, go or are measured; when only models change, their rows are replaced.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.domain.device import DeviceId
from acesniper.domain.task import ModelKey
from acesniper.extender.cache.cold_start import CachedStarts, ColdStarts
from acesniper.extender.cache.devices import DeviceIndex
from acesniper.extender.latency_table import LatencyTable, LatencyView
from acesniper.policies.estimates import Estimates, PredictionRow


class CachedRows(Mapping[ModelKey, PredictionRow]):
    """Rows of the table, made when they are first asked for and kept until they change.

    A plan may read them in another thread: what was made of one state of the table is kept
    together with it, and both are replaced at once.
    """

    def __init__(self, seen: LatencyView, devices: Sequence[DeviceId]) -> None:
        self._columns = seen.columns_of(devices)
        self._state: tuple[LatencyView, dict[ModelKey, PredictionRow]] = seen, {}

    def show(self, seen: LatencyView, changed: Collection[ModelKey]) -> None:
        """Show another state of the table, in which these models have changed."""
        kept = self._state[1].copy()
        for model in changed:
            kept.pop(model, None)
        self._state = seen, kept

    def __getitem__(self, model: ModelKey) -> PredictionRow:
        seen, made = self._state
        row = made.get(model)
        if row is None:
            row = made[model] = self._row(seen, model)
        return row

    def __iter__(self) -> Iterator[ModelKey]:
        return iter(self._state[0].rows)

    def __len__(self) -> int:
        return len(self._state[0].rows)

    def _row(self, seen: LatencyView, model: ModelKey) -> PredictionRow:
        if model not in seen.rows:
            raise KeyError(model)
        latency_s, spread = seen.over(model, self._columns)
        factor = np.exp(spread)
        return PredictionRow(latency_s, latency_s / factor, latency_s * factor, seen.source)


@dataclass(slots=True)
class EstimateCache:
    """Keeps the estimates for the planner up to date."""

    table: LatencyTable
    devices: DeviceIndex
    cold_starts: ColdStarts
    clock: Callable[[], float]
    _starts: CachedStarts | None = None
    _estimates: Estimates | None = None
    _rows: CachedRows | None = None

    def estimates(self) -> Estimates:
        """The estimates as of now."""
        if self._starts is not None:
            self._starts.refresh(self.clock())
        if self._estimates is None:
            devices = tuple(self.devices)
            self._rows = CachedRows(self.table.view(), [each.id for each in devices])
            self._starts = CachedStarts(self.cold_starts, devices, self.clock())
            self._estimates = Estimates(devices, self._rows, self.devices.labels(), self._starts)
        return self._estimates

    def devices_changed(self) -> None:
        """Devices came, went or are other than they were."""
        self._estimates = None

    def models_changed(self, models: Collection[ModelKey]) -> None:
        """Only these rows of the table changed."""
        if self._rows is not None:
            self._rows.show(self.table.view(), models)
