"""The latency table: every known model on every measured device.

Models and devices that are new or changed are only recorded at first. `pending` returns them all at
once, so that thousands of devices are predicted in one call, which may run in another thread;
`commit` writes the result. No request ever waits for a prediction.
"""

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import numpy as np

from acesniper.domain.device import DeviceId
from acesniper.domain.model import ModelFeatures
from acesniper.domain.task import ModelKey
from acesniper.predictor.base import LatencyArrays, LatencyPredictor
from acesniper.predictor.namespaces import FeaturesByModel, MeasuredDevice, namespace_table

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


MeasuredById = Mapping[DeviceId, MeasuredDevice]


@dataclass(frozen=True, slots=True)
class TableBlock:
    """The pairs of some models and some devices.

    Attributes:
        models: rows of the block.
        devices: columns of the block.
        known: all models that latencies may have been observed of.
        latencies: the predictions; None until they are made.
    """

    models: FeaturesByModel
    devices: MeasuredById
    known: FeaturesByModel
    latencies: LatencyArrays | None = None

    def predicted(self, predictor: LatencyPredictor) -> "TableBlock":
        """Return the block with its latencies."""
        devices = [*self.devices.values()]
        latencies = namespace_table(predictor, self.models, devices, self.known)
        return replace(self, latencies=latencies)


@dataclass(frozen=True, slots=True)
class PendingPredictions:
    """Pairs to predict: new devices with all models, and new models with the other devices.

    `version` is the state of the table that they were taken from.
    """

    models: FeaturesByModel
    devices: MeasuredById
    blocks: tuple[TableBlock, ...]
    version: int

    def predicted(self, predictor: LatencyPredictor) -> "PendingPredictions":
        """Return the same with all latencies. May run in any thread."""
        return replace(self, blocks=tuple(block.predicted(predictor) for block in self.blocks))


@dataclass(frozen=True, slots=True)
class LatencyView:
    """An immutable view of the table at one moment.

    `latency` is in seconds and `spread` in log seconds, both of shape (models, devices) and NaN
    where unknown. `rows` and `columns` map keys to indices.
    """

    rows: Mapping[ModelKey, int]
    columns: Mapping[DeviceId, int]
    latency: np.ndarray
    spread: np.ndarray
    source: str

    def columns_of(self, devices: Sequence[DeviceId]) -> np.ndarray:
        """Return the column of each device, -1 for one that has none."""
        columns = (self.columns.get(device, -1) for device in devices)
        return np.fromiter(columns, np.intp, len(devices))

    def over(self, model: ModelKey, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return latency and spread of a known model, NaN where a column is -1."""
        if not self.latency.size:
            unknown = np.full(len(columns), np.nan)
            return unknown, unknown
        row, exists = self.rows[model], columns >= 0
        latency, spread = (
            np.where(exists, values[row, columns].astype(np.float64), np.nan)
            for values in (self.latency, self.spread)
        )
        return latency, spread


class TableAxis(Generic[K, V]):
    """One axis of the table: keys with their vectors and indices.

    The index of a deleted key is reused. Each key has the version of its last change, so that a
    prediction that was made before the change is not written.
    """

    def __init__(self) -> None:
        self.vectors: dict[K, V] = {}
        self._pending: set[K] = set()
        self._changed_in: dict[K, int] = {}
        self._indices: dict[K, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        """Number of indices in use or reusable."""
        return len(self._indices) + len(self._free)

    @property
    def indices(self) -> Mapping[K, int]:
        """The index of every key."""
        return self._indices

    def upsert(self, key: K, vector: V, version: int) -> bool:
        """Set a vector; False if it equals the current one."""
        if self.vectors.get(key) == vector:
            return False
        self.vectors[key], self._changed_in[key] = vector, version
        self._pending.add(key)
        if key not in self._indices:
            self._indices[key] = self._free.pop() if self._free else len(self._indices)
        return True

    def predict_again(self, keys: Iterable[K], version: int) -> None:
        """Mark those of `keys` that exist as changed."""
        changed = [key for key in keys if key in self.vectors]
        self._changed_in |= dict.fromkeys(changed, version)
        self._pending.update(changed)

    def delete(self, key: K) -> int | None:
        """Delete a key and return its former index; None for an unknown key."""
        if self.vectors.pop(key, None) is None:
            return None
        self._pending.discard(key)
        del self._changed_in[key]
        index = self._indices.pop(key)
        self._free.append(index)
        return index

    def invalidate(self, version: int) -> None:
        """Mark every key as changed."""
        self._changed_in = dict.fromkeys(self.vectors, version)
        self._pending = set(self.vectors)

    def pending(self) -> dict[K, V]:
        """Return the vectors that are not predicted yet."""
        return {key: self.vectors[key] for key in self._pending}

    def commit(self, keys: Mapping[K, V], version: int) -> None:
        """Mark keys as predicted, except those that changed after `version`."""
        self._pending -= {key for key in keys if self._unchanged(key, version)}

    def current(self, keys: Mapping[K, V], version: int) -> tuple[list[int], list[int]]:
        """Return the indices of keys unchanged since `version`, and their positions in `keys`."""
        pairs = [
            (self._indices[key], position)
            for position, key in enumerate(keys)
            if self._unchanged(key, version)
        ]
        return [index for index, _ in pairs], [position for _, position in pairs]

    def _unchanged(self, key: K, version: int) -> bool:
        return key in self._changed_in and self._changed_in[key] <= version


@dataclass(slots=True)
class LatencyTable:
    """Mutable table; arrays that a view shares are copied before a change."""

    predictor: LatencyPredictor
    _models: TableAxis[ModelKey, ModelFeatures] = field(default_factory=TableAxis)
    _devices: TableAxis[DeviceId, MeasuredDevice] = field(default_factory=TableAxis)
    _latency: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    _spread: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float16))
    _ran_on: dict[ModelKey, set[DeviceId]] = field(default_factory=dict)
    """The devices on which each model was observed, known or not."""
    _version: int = 0
    """Incremented whenever pending predictions are handed out."""
    _view: LatencyView | None = None
    _shared: bool = False

    def features(self, model: ModelKey) -> ModelFeatures | None:
        """Return the features of a model, None if it is unknown."""
        return self._models.vectors.get(model)

    def latency_s(self, model: ModelKey, device: DeviceId) -> float | None:
        """Return the latency of one pair; None if it is unknown or not predicted yet."""
        row, column = self._models.indices.get(model), self._devices.indices.get(device)
        if row is None or column is None:
            return None
        rows, columns = self._latency.shape
        if row >= rows or column >= columns or np.isnan(self._latency[row, column]):
            return None
        return float(self._latency[row, column])

    def set_model(self, model: ModelKey, features: ModelFeatures | None) -> None:
        """Upsert a model, to be predicted, or delete it at once (None).

        Devices on which it was observed are predicted again: their observations of it now count, or
        no longer count.
        """
        if self._models.vectors.get(model) != features:
            self._devices.predict_again(self._ran_on.get(model, ()), self._version)
        if features is not None:
            if self._models.upsert(model, features, self._version):
                self._view = None
        elif (row := self._models.delete(model)) is not None:
            self._unshare()
            self._latency[row : row + 1] = np.nan

    def set_device(self, device: DeviceId, measured: MeasuredDevice | None) -> None:
        """Upsert a device, to be predicted, or delete it at once (None)."""
        self._set_ran_on(device, measured)
        if measured is not None:
            if self._devices.upsert(device, measured, self._version):
                self._view = None
        elif (column := self._devices.delete(device)) is not None:
            self._unshare()
            self._latency[:, column : column + 1] = np.nan

    def _set_ran_on(self, device: DeviceId, measured: MeasuredDevice | None) -> None:
        before = self._devices.vectors.get(device)
        was = before.observed_models if before is not None else frozenset()
        now = measured.observed_models if measured is not None else frozenset()
        for model in was - now:
            self._ran_on[model].discard(device)
            if not self._ran_on[model]:
                del self._ran_on[model]
        for model in now - was:
            self._ran_on.setdefault(model, set()).add(device)

    def invalidate(self) -> None:
        """Predict all pairs again: the predictor was replaced."""
        self._devices.invalidate(self._version)
        self._view = None

    def view(self) -> LatencyView:
        """Return the table as it is now."""
        if self._view is None:
            self._grow()
            self._view = LatencyView(
                rows=dict(self._models.indices),
                columns=dict(self._devices.indices),
                latency=self._latency,
                spread=self._spread,
                source=self.predictor.source,
            )
            self._shared = True
        return self._view

    def pending(self) -> PendingPredictions | None:
        """Return what is not predicted yet, None if nothing is."""
        models, devices = self._models.pending(), self._devices.pending()
        if not models and not devices:
            return None
        others = {key: item for key, item in self._devices.vectors.items() if key not in devices}
        known = dict(self._models.vectors)
        blocks = (TableBlock(known, devices, known), TableBlock(models, others, known))
        nonempty = tuple(block for block in blocks if block.models and block.devices)
        predictions = PendingPredictions(models, devices, nonempty, self._version)
        self._version += 1
        return predictions

    def commit(self, predictions: PendingPredictions) -> None:
        """Write predictions, except for what has changed since they were handed out."""
        self._grow()
        self._unshare()
        for block in predictions.blocks:
            self._write(block, predictions.version)
        self._models.commit(predictions.models, predictions.version)
        self._devices.commit(predictions.devices, predictions.version)

    def predict_pending(self) -> None:
        """Predict and commit what is pending, in this thread."""
        if (predictions := self.pending()) is not None:
            self.commit(predictions.predicted(self.predictor))

    def _write(self, block: TableBlock, version: int) -> None:
        if block.latencies is None:
            raise ValueError("a block has to be predicted before it is committed")
        rows, models = self._models.current(block.models, version)
        columns, devices = self._devices.current(block.devices, version)
        source, target = np.ix_(models, devices), np.ix_(rows, columns)
        self._latency[target] = block.latencies.latency[source]
        self._spread[target] = block.latencies.spread[source]
        _log_unpredicted(block, block.latencies)

    def _grow(self) -> None:
        """Make room for every key: exactly as needed at first, later a quarter more."""
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

    def _unshare(self) -> None:
        """Copy the arrays before a change if a view refers to them."""
        if self._shared:
            self._latency, self._spread = self._latency.copy(), self._spread.copy()
        self._shared, self._view = False, None


def _enlarged(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    larger = np.full(shape, np.nan, array.dtype)
    larger[: array.shape[0], : array.shape[1]] = array
    return larger


def _log_unpredicted(block: TableBlock, latencies: LatencyArrays) -> None:
    """Log models and devices without any prediction, mostly vectors of another version."""
    unknown = np.isnan(latencies.latency)
    for (model, features), none in zip(block.models.items(), unknown.all(axis=1), strict=True):
        if none:
            log.warning("no prediction for model %s (features %s)", model, features.version)
    for (device, measured), none in zip(block.devices.items(), unknown.all(axis=0), strict=True):
        if none:
            suite = measured.vector.version
            log.warning("no prediction for device %s (probe suite %s)", device, suite)
