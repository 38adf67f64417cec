"""Batches of devices for one run of the network, and a cache of the arrays it is fed.

A run of the network is the expensive step: thousands of devices with observations of their own
share runs, and only the small regression is done per device. Converting models and devices to
arrays takes far longer than predicting from them, so the arrays are cached by digest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Generic, Protocol, TypeVar

import numpy as np

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.base import Observation
from acesniper.predictor.pcn.inputs import DeviceInputs, ModelInputs


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Upper limits of one run of the network, so that its arrays stay small.

    `observed_models` counts the distinct models observed by its devices; one device may exceed it.
    Of each device, only the newest `observations` are used: the cost grows with their cube.
    """

    cells: int = 2**16
    models: int = 256
    observed_models: int = 64
    observations: int = 256


DEFAULT_LIMITS = BatchLimits()


@dataclass(frozen=True, slots=True, eq=False)
class ObservedModels:
    """The distinct models observed on some devices, and each observation's position among them."""

    models: Sequence[ModelFeatures]
    positions: Sequence[np.ndarray]


def observed_models(observed: Sequence[Sequence[Observation]]) -> ObservedModels:
    """The models that these devices observed, by digest."""
    models = {
        observation.model_key: observation.model
        for observations in observed
        for observation in observations
    }
    position = {key: number for number, key in enumerate(models)}
    positions = [
        np.array([position[observation.model_key] for observation in observations], int)
        for observations in observed
    ]
    return ObservedModels(list(models.values()), positions)


def device_groups(
    inputs: DeviceInputs,
    observed: Sequence[Sequence[Observation]],
    max_devices: int,
    max_observed_models: int,
) -> Iterator[np.ndarray]:
    """Columns of devices for one run each: same references; no observations, or few models.

    At most `max_devices` in one group; devices with too few readings are left out.
    """
    pattern = _reference_pattern(inputs)
    has_observations = np.array([bool(observations) for observations in observed], bool)
    for number in sorted(set(pattern[pattern >= 0].tolist())):  # np.unique loads 9 MiB of modules
        plain = np.flatnonzero((pattern == number) & ~has_observations)
        if len(plain):
            yield from np.split(plain, range(max_devices, len(plain), max_devices))
        rest = np.flatnonzero((pattern == number) & has_observations)
        yield from _few_models(rest, observed, max_devices, max_observed_models)


def _reference_pattern(inputs: DeviceInputs) -> np.ndarray:
    """The set of reference readings as a number per device; -1 with too few readings (D,)."""
    known = np.isfinite(inputs.seconds).all(axis=1) & np.isfinite(inputs.shape).all(axis=1)
    taken = np.isfinite(inputs.references)
    return np.where(known, taken @ 2 ** np.arange(taken.shape[1]), -1)


def _few_models(
    columns: np.ndarray,
    observed: Sequence[Sequence[Observation]],
    max_devices: int,
    max_models: int,
) -> Iterator[np.ndarray]:
    group: list[int] = []
    models: set[str] = set()
    for column in columns.tolist():
        own = {observation.model_key for observation in observed[column]}
        if group and (len(models | own) > max_models or len(group) == max_devices):
            yield np.array(group)
            group, models = [], set()
        group.append(column)
        models |= own
    if group:
        yield np.array(group)


class HasDigest(Protocol):
    """Identified by a digest of its values."""

    @property
    def digest(self) -> str:
        """Equal for equal values."""
        ...


CachedItem = TypeVar("CachedItem", bound=HasDigest)
CachedArrays = TypeVar("CachedArrays", bound=ModelInputs | DeviceInputs)

CACHE_SIZE = 16384
"""Entries that are kept; with one more the cache is emptied."""

CONVERT_BATCH = 256
"""Items converted at a time: intermediate arrays are larger than what is kept."""


class InputCache(Generic[CachedItem, CachedArrays]):
    """Arrays of at most `size` items, keyed by digest."""

    def __init__(
        self, convert: Callable[[Sequence[CachedItem]], CachedArrays], size: int = CACHE_SIZE
    ) -> None:
        self._convert = convert
        self._kind: type[CachedArrays]
        self._size = size
        self._rows: dict[str, int] = {}
        self._store: dict[str, np.ndarray] = {}

    def get(self, items: Sequence[CachedItem]) -> CachedArrays:
        """The arrays in the order of `items`, which must not be empty; 32-bit floats."""
        missing = self._missing(items)
        if len(self._rows) + len(missing) > self._size:
            self._rows.clear()
            missing = self._missing(items)
            if len(missing) > self._size:
                return self._convert(items)
        for start in range(0, len(missing), CONVERT_BATCH):
            self._add(missing[start : start + CONVERT_BATCH])
        rows = np.asarray([self._rows[item.digest] for item in items])
        return self._kind(*(self._store[field.name][rows] for field in fields(self._kind)))

    def _missing(self, items: Sequence[CachedItem]) -> list[CachedItem]:
        return list({item.digest: item for item in items if item.digest not in self._rows}.values())

    def _add(self, new: Sequence[CachedItem]) -> None:
        arrays = self._convert(new)
        self._kind = type(arrays)
        start, end = len(self._rows), len(self._rows) + len(new)
        for field in fields(arrays):
            values = getattr(arrays, field.name)
            if field.name not in self._store:
                # Pages that nothing is written to take no memory.
                self._store[field.name] = np.empty((self._size, *values.shape[1:]), np.float32)
            self._store[field.name][start:end] = values
        self._rows |= {item.digest: start + i for i, item in enumerate(new)}
