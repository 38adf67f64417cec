"""The latency table: every known model on every measured device, computed when either changes.

What is new is only noted at first. `news` gives it out at once, so that thousands of devices are
predicted in one call, which may run in another thread; `take` writes the answer. No request ever
waits for a prediction.
"""

import logging
from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from acesniper.api import convert
from acesniper.api.conditions import condition_is_true
from acesniper.api.reasons import ConditionType
from acesniper.api.v1alpha1 import DeviceProfileStatus
from acesniper.domain.device import DeviceId, HardwareVector
from acesniper.domain.latency_history import ObservedLatency, observed_latencies
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import ModelKey
from acesniper.predictor.base import DRIFTED_SHIFT, PRIOR_SHIFT, LatencyArrays, Observation

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TableAxis(Generic[K, V]):
    """Keys with their vectors and their places; the place of a key that left is given out again."""

    def __init__(self) -> None:
        self.vectors: dict[K, V] = {}
        self._news: set[K] = set()
        self._places: dict[K, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        """Places that were ever given out."""
        return len(self._places) + len(self._free)

    @property
    def places(self) -> Mapping[K, int]:
        """The place of every key."""
        return self._places

    def put(self, key: K, vector: V) -> bool:
        """Note a vector; False if it is the one that is known."""
        if self.vectors.get(key) == vector:
            return False
        self.vectors[key] = vector
        self._news.add(key)
        if key not in self._places:
            self._places[key] = self._free.pop() if self._free else len(self._places)
        return True

    def drop(self, key: K) -> int | None:
        """Forget a key; returns the place that is free now, None if the key was unknown."""
        if self.vectors.pop(key, None) is None:
            return None
        self._news.discard(key)
        place = self._places.pop(key)
        self._free.append(place)
        return place

    def renew(self) -> None:
        """All is to be predicted once more; what is being predicted now does not count."""
        for key, vector in self.vectors.items():
            self.vectors[key] = copy(vector)
        self._news = set(self.vectors)

    def news(self) -> dict[K, V]:
        """What is not predicted yet."""
        return {key: self.vectors[key] for key in self._news}

    def settle(self, given: Mapping[K, V]) -> None:
        """What was given out is predicted; what changed meanwhile is still new."""
        self._news = {key for key in self._news if self.vectors[key] is not given.get(key)}

    def current(self, given: Mapping[K, V]) -> tuple[list[int], list[int]]:
        """The places of keys that have not changed since, and their positions in `given`."""
        found = [
            (self._places[key], position)
            for position, (key, vector) in enumerate(given.items())
            if self.vectors.get(key) is vector
        ]
        return [place for place, _ in found], [position for _, position in found]


@dataclass(frozen=True, slots=True)
class MeasuredDevice:
    """A device's vector, what it takes for some models, and whether it changed since its probe.

    `interval_factor` is by how much wider than usual its intervals have to be.
    """

    vector: HardwareVector
    observed_latencies: tuple[ObservedLatency, ...] = ()
    drifted: bool = False
    interval_factor: float = 1.0

    @classmethod
    def of(cls, status: DeviceProfileStatus) -> "MeasuredDevice | None":
        """What a profile says; None before the device was probed."""
        vector = convert.to_hardware_vector(status)
        if vector is None:
            return None
        found = observed_latencies(convert.observed_runs(status))
        drifting = condition_is_true(status.conditions, ConditionType.DRIFTING)
        return cls(vector, tuple(found), drifting, status.interval_factor)

    def observations(self, models: Mapping[ModelKey, ModelFeatures]) -> Sequence[Observation]:
        """The evidence about models that are known, for the predictor."""
        shift = DRIFTED_SHIFT if self.drifted else PRIOR_SHIFT
        return [
            Observation(models[each.model], each.latency_s, each.variance, shift)
            for each in self.observed_latencies
            if each.model in models
        ]


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
    ) -> LatencyArrays:
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
    found: LatencyArrays | None = None

    def predicted(self, predictor: LatencyTablePredictor) -> "TableBlock":
        """The same with its latencies."""
        vectors = [each.vector for each in self.devices.values()]
        convert = [each.observations(self.known) for each in self.devices.values()]
        found = predictor.table([*self.models.values()], vectors, convert)
        factors = np.array([each.interval_factor for each in self.devices.values()], np.float16)
        return replace(self, found=found._replace(spread=found.spread * factors).sound())


@dataclass(frozen=True, slots=True)
class PendingPredictions:
    """What is to be predicted: new devices with all models, and new models with the others."""

    models: FeaturesByModel
    devices: MeasuredById
    blocks: tuple[TableBlock, ...]

    def predicted(self, predictor: LatencyTablePredictor) -> "PendingPredictions":
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


def _warn(block: TableBlock, found: LatencyArrays) -> None:
    """Name what nothing at all could be predicted for: vectors of another version, mostly."""
    unknown = np.isnan(found.latency)
    for model, nowhere in zip(block.models.items(), unknown.all(axis=1), strict=True):
        if nowhere:
            log.warning("model %s (features %s): no prediction", model[0], model[1].version)
    for device, nothing in zip(block.devices.items(), unknown.all(axis=0), strict=True):
        if nothing:
            log.warning("device %s (suite %s): no prediction", device[0], device[1].vector.version)
