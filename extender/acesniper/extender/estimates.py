"""Estimates for the planner: the latency table over the current devices.

They are rebuilt when devices are added, removed or measured again. When only models change, only
their rows are replaced.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.domain.device import DeviceId
from acesniper.domain.task import ModelKey
from acesniper.extender.cache.cold_start import CachedStarts, ColdStartCache
from acesniper.extender.cache.devices import DeviceIndex
from acesniper.extender.cache.scheduler_rules import SchedulerRules
from acesniper.extender.latency_table import LatencyTable, LatencyView
from acesniper.policies.estimates import Estimates, PredictionRow


class CachedRows(Mapping[ModelKey, PredictionRow]):
    """Rows of the table, computed on first access and kept until they change.

    A plan may read them in another thread. A view and the rows computed from it are therefore kept
    together, and replaced at once.
    """

    def __init__(self, view: LatencyView, devices: Sequence[DeviceId]) -> None:
        self._columns = view.columns_of(devices)
        self._state: tuple[LatencyView, dict[ModelKey, PredictionRow]] = view, {}

    def replace_view(self, view: LatencyView, changed: Collection[ModelKey]) -> None:
        """Read from another view, in which only the rows of these models differ."""
        rows = self._state[1].copy()
        for model in changed:
            rows.pop(model, None)
        self._state = view, rows

    def __getitem__(self, model: ModelKey) -> PredictionRow:
        view, rows = self._state
        row = rows.get(model)
        if row is None:
            row = rows[model] = self._row(view, model)
        return row

    def __iter__(self) -> Iterator[ModelKey]:
        return iter(self._state[0].rows)

    def __len__(self) -> int:
        return len(self._state[0].rows)

    def _row(self, view: LatencyView, model: ModelKey) -> PredictionRow:
        if model not in view.rows:
            raise KeyError(model)
        latency_s, spread = view.over(model, self._columns)
        factor = np.exp(spread)
        return PredictionRow(latency_s, latency_s / factor, latency_s * factor, view.source)


@dataclass(slots=True, kw_only=True)
class EstimateCache:
    """The current estimates, rebuilt only where they were invalidated."""

    table: LatencyTable
    devices: DeviceIndex
    cold_starts: ColdStartCache
    clock: Callable[[], float]
    rules: SchedulerRules
    _starts: CachedStarts | None = None
    _estimates: Estimates | None = None
    _rows: CachedRows | None = None

    def current(self) -> Estimates:
        """Return the estimates as of now."""
        if self._starts is not None:
            self._starts.refresh(self.clock())
        if self._estimates is None:
            devices = tuple(self.devices)
            self._rows = CachedRows(self.table.view(), [device.id for device in devices])
            self._starts = CachedStarts(self.cold_starts, devices, self.clock())
            self._estimates = Estimates(
                devices, self._rows, dict(self.rules.nodes), self._starts, self.rules.volumes
            )
        return self._estimates

    def invalidate(self, models: Collection[ModelKey] | None = None) -> None:
        """Rebuild everything (None: devices changed), or only the rows of these models."""
        if models is None:
            self._estimates = None
        elif self._rows is not None:
            self._rows.replace_view(self.table.view(), models)
