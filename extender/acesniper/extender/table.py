"""The latency table: every known model on every measured device, computed when either changes.

What is new is only noted at first. `news` gives it out at once, so that thousands of devices are
predicted in one call, which may run in another thread; `take` writes the answer. No request ever
waits for a prediction.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from acesniper.domain.device import DeviceId, HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import ModelKey
from acesniper.extender.latency_table import MeasuredDevice, TableAxis
from acesniper.predictor.interface import Table
from acesniper.predictor.pcn.observations import Observation

log = logging.getLogger(__name__)

FeaturesByModel = Mapping[ModelKey, ModelFeatures]
MeasuredById = Mapping[DeviceId, MeasuredDevice]


class LatencyTablePredictor(Protocol):
    """Predicts many models on many devices at once."""

    source: str

    def table(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Sequence[Sequence[Observation]] = (),
    ) -> Table:
        """All pairs; NaN where nothing can be said. `observed` is what ran on each device."""
        ...


@dataclass(frozen=True, slots=True)
class TableBlock:
    """The pairs of some models and some devices; `found` is empty until it is predicted.

    `known` are all models that something may have been observed of.
    """

    models: FeaturesByModel
    devices: MeasuredById
    known: FeaturesByModel
    found: Table | None = None

    def predicted(self, predictor: LatencyTablePredictor) -> "Block":
        """The same with its latencies."""
        vectors = [each.vector for each in self.devices.values()]
        observed = [each.observations(self.known) for each in self.devices.values()]
        found = predictor.table([*self.models.values()], vectors, observed)
        factors = np.array([each.interval_factor for each in self.devices.values()], np.float16)
        return replace(self, found=found._replace(spread=found.spread * factors).sound())


@dataclass(frozen=True, slots=True)
class PendingPredictions:
    """What is to be predicted: new devices with all models, and new models with the others."""

    models: FeaturesByModel
    devices: MeasuredById
    blocks: tuple[TableBlock, ...]

    def predicted(self, predictor: LatencyTablePredictor) -> "News":
        """The same with all latencies; may run in any thread."""
        return replace(self, blocks=tuple(each.predicted(predictor) for each in self.blocks))


@dataclass(frozen=True, slots=True)
class LatencyView:
    """The table as it was at one moment; nothing changes it afterwards.

    `latency` is in seconds and `spread` in log seconds, both of shape (models, devices) and NaN
    where unknown; `rows` and `columns` say where.
    """

    rows: Mapping[ModelKey, int]
    columns: Mapping[DeviceId, int]
    latency: np.ndarray
    spread: np.ndarray
    source: str

    def columns_of(self, devices: Sequence[DeviceId]) -> np.ndarray:
        """Where these devices stand; -1 for one without a column."""
        found = (self.columns.get(each, -1) for each in devices)
        return np.fromiter(found, np.intp, len(devices))

    def over(self, model: ModelKey, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latency and spread of a known model over these columns; NaN where the column is -1."""
        if not self.latency.size:
            nothing = np.full(len(columns), np.nan)
            return nothing, nothing
        row, there = self.rows[model], columns >= 0
        latency, spread = (
            np.where(there, each[row, columns].astype(np.float64), np.nan)
            for each in (self.latency, self.spread)
        )
        return latency, spread


@dataclass(slots=True)
class LatencyTable:
    """Changed in place, unless somebody holds a view of it: then a change makes a copy first."""

    predictor: LatencyTablePredictor
    _models: TableAxis[ModelKey, ModelFeatures] = field(default_factory=TableAxis)
    _devices: TableAxis[DeviceId, MeasuredDevice] = field(default_factory=TableAxis)
    _latency: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    _spread: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float16))
    _view: LatencyView | None = None
    _shared: bool = False

    def features(self, model: ModelKey) -> ModelFeatures | None:
        """What is known of a model, None if nothing is."""
        return self._models.vectors.get(model)

    def latency_s(self, model: ModelKey, device: DeviceId) -> float | None:
        """Of one pair; None if it is unknown or not predicted yet."""
        row, column = self._models.places.get(model), self._devices.places.get(device)
        if row is None or column is None:
            return None
        rows, columns = self._latency.shape
        if row >= rows or column >= columns or np.isnan(self._latency[row, column]):
            return None
        return float(self._latency[row, column])

    def set_model(self, model: ModelKey, found: ModelFeatures | None) -> None:
        """Note a model to predict; None removes it at once."""
        if found is not None:
            if self._models.put(model, found):
                self._view = None
        elif (row := self._models.drop(model)) is not None:
            self._own()
            self._latency[row : row + 1] = np.nan

    def set_device(self, device: DeviceId, measured: MeasuredDevice | None) -> None:
        """Note a device to predict; None removes it at once."""
        if measured is not None:
            if self._devices.put(device, measured):
                self._view = None
        elif (column := self._devices.drop(device)) is not None:
            self._own()
            self._latency[:, column : column + 1] = np.nan

    def predict_anew(self) -> None:
        """Another network predicts from now on: all pairs are new."""
        self._devices.renew()
        self._view = None

    def view(self) -> LatencyView:
        """The table as it is now."""
        if self._view is None:
            self._grow()
            self._view = LatencyView(
                dict(self._models.places),
                dict(self._devices.places),
                self._latency,
                self._spread,
                self.predictor.source,
            )
            self._shared = True
        return self._view

    def news(self) -> PendingPredictions | None:
        """What is not predicted yet."""
        models, devices = self._models.news(), self._devices.news()
        if not models and not devices:
            return None
        others = {key: each for key, each in self._devices.vectors.items() if key not in devices}
        known = dict(self._models.vectors)
        blocks = (TableBlock(known, devices, known), TableBlock(models, others, known))
        whole = tuple(each for each in blocks if each.models and each.devices)
        return PendingPredictions(models, devices, whole)

    def take(self, news: PendingPredictions) -> None:
        """Write what was predicted, less what has changed since it was given out."""
        self._grow()
        self._own()
        for block in news.blocks:
            self._write(block)
        self._models.settle(news.models)
        self._devices.settle(news.devices)

    def settle(self) -> None:
        """Predict here and now what is new."""
        if (news := self.news()) is not None:
            self.take(news.predicted(self.predictor))

    def _write(self, block: TableBlock) -> None:
        if block.found is None:
            raise ValueError("a block has to be predicted before it is taken")
        rows, models = self._models.current(block.models)
        columns, devices = self._devices.current(block.devices)
        kept, where = np.ix_(models, devices), np.ix_(rows, columns)
        self._latency[where] = block.found.latency[kept]
        self._spread[where] = block.found.spread[kept]
        _warn(block, block.found)

    def _grow(self) -> None:
        """Make room for every key: as much as is needed at first, later a quarter more."""
        have, need = self._latency.shape, (len(self._models), len(self._devices))
        if all(old >= new for old, new in zip(have, need, strict=True)):
            return
        shape = [
            old if old >= new else max(new, old + old // 4)
            for old, new in zip(have, need, strict=True)
        ]
        self._latency = _enlarged(self._latency, shape)
        self._spread = _enlarged(self._spread, shape)
        self._shared, self._view = False, None

    def _own(self) -> None:
        """Before a change: leave the arrays to those who hold a view of them."""
        if self._shared:
            self._latency, self._spread = self._latency.copy(), self._spread.copy()
        self._shared, self._view = False, None


def _enlarged(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    larger = np.full(shape, np.nan, array.dtype)
    larger[: array.shape[0], : array.shape[1]] = array
    return larger


def _warn(block: TableBlock, found: Table) -> None:
    """Name what nothing at all could be predicted for: vectors of another version, mostly."""
    unknown = np.isnan(found.latency)
    for model, nowhere in zip(block.models.items(), unknown.all(axis=1), strict=True):
        if nowhere:
            log.warning("model %s (features %s): no prediction", model[0], model[1].version)
    for device, nothing in zip(block.devices.items(), unknown.all(axis=0), strict=True):
        if nothing:
            log.warning("device %s (suite %s): no prediction", device[0], device[1].vector.version)
