"""One side of the latency table: which key has which row or column."""

from collections.abc import Hashable, Mapping
from copy import copy
from typing import Generic, TypeVar

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
