"""A cache of the arrays of models or devices, keyed by digest.

Converting a vector takes far longer than predicting from its arrays, and the same few thousand
vectors come with every call.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Generic, Protocol, TypeVar

import numpy as np

from acesniper.predictor.pcn.inputs import DeviceInputs, ModelInputs


class HasDigest(Protocol):
    """What is identified by a digest of its values."""

    @property
    def digest(self) -> str:
        """Equal for equal values."""
        ...


CachedItem = TypeVar("Item", bound=HasDigest)
CachedArrays = TypeVar("Arrays", bound=ModelInputs | DeviceInputs)

CACHE_SIZE = 16384
"""Entries that are kept; with one more the cache is emptied."""

CONVERT_BATCH = 256
"""Items converted at a time: intermediate arrays are larger than what is kept."""


class InputCache(Generic[CachedItem, CachedArrays]):
    """Caches the arrays of items, at most `most` of them."""

    def __init__(
        self, prepare: Callable[[Sequence[CachedItem]], CachedArrays], most: int = CACHE_SIZE
    ) -> None:
        self._prepare = prepare
        self._kind: type[CachedArrays]
        self._most = most
        self._kept: dict[str, int] = {}
        self._store: dict[str, np.ndarray] = {}

    def of(self, items: Sequence[CachedItem]) -> CachedArrays:
        """The arrays in the order of `items`, which must not be empty; 32-bit floats."""
        new = self._new(items)
        if len(self._kept) + len(new) > self._most:
            self._kept.clear()
            new = self._new(items)
            if len(new) > self._most:
                return self._prepare(items)
        for start in range(0, len(new), CONVERT_BATCH):
            self._add(new[start : start + CONVERT_BATCH])
        rows = np.asarray([self._kept[item.digest] for item in items])
        return self._kind(*(self._store[each.name][rows] for each in fields(self._kind)))

    def _new(self, items: Sequence[CachedItem]) -> list[CachedItem]:
        return list({item.digest: item for item in items if item.digest not in self._kept}.values())

    def _add(self, new: Sequence[CachedItem]) -> None:
        made = self._prepare(new)
        self._kind = type(made)
        start, end = len(self._kept), len(self._kept) + len(new)
        for each in fields(made):
            values = getattr(made, each.name)
            if each.name not in self._store:
                # Pages that nothing is written to take no memory.
                room = np.empty((self._most, *values.shape[1:]), np.float32)
                self._store[each.name] = room
            self._store[each.name][start:end] = values
        self._kept |= {item.digest: start + i for i, item in enumerate(new)}
