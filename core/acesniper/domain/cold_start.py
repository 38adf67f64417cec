"""What passes between a pod's binding and its first inference, and how it is learned.

    container start (+ pull of the image) + fetch of the model's file + load of the model

Each part is a rate or a time that differs from node to node. Starting values stand in until
something was observed; what few runs say is drawn towards what all nodes say.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from math import exp, log

MB = 1e6

IMAGE_BYTES = 300 * MB
"""Of an image that no node tells the size of."""
CACHED_BYTES_PER_S = 100 * MB
"""To get a model's file that was on the node before: the page cache, or a cache of files."""
MIN_DURATION_S = 1e-6
"""What took less tells no more."""

ROUNDING_S = 1.0
"""Kubernetes writes whole seconds: what took 1.2 s may read 1 or 2, and 0.1 s may read 1."""

PRIOR_WEIGHT = 2.0
"""So many observations the next wider mean counts as."""
MAX_WEIGHT = 20.0
"""So many observations are remembered; older ones fade."""


@dataclass(slots=True)
class FadingMean:
    """A mean that forgets: `weight` observations at `value`."""

    value: float = 0.0
    weight: float = 0.0

    def learn(self, value: float) -> None:
        """Take one more observation."""
        self.weight = min(self.weight + 1.0, MAX_WEIGHT)
        self.value += (value - self.value) / self.weight

    def drawn_to(self, prior: float) -> float:
        """The mean, drawn towards `prior` the more the less was observed."""
        return (self.value * self.weight + prior * PRIOR_WEIGHT) / (self.weight + PRIOR_WEIGHT)


@dataclass(slots=True)
class LearnedMeans:
    """A quantity by key: drawn to the mean over all keys, and that to a starting value."""

    start: float
    _all: FadingMean = field(default_factory=FadingMean)
    _by_key: dict[Hashable, FadingMean] = field(default_factory=dict)

    def learn(self, key: Hashable, value: float) -> None:
        """Take an observation at a key."""
        self._all.learn(value)
        self._by_key.setdefault(key, FadingMean()).learn(value)

    def of(self, key: Hashable) -> float:
        """What to expect at a key."""
        expected = self._all.drawn_to(self.start)
        mean = self._by_key.get(key)
        return expected if mean is None else mean.drawn_to(expected)


@dataclass(slots=True)
class LearnedRates:
    """Bytes per second by key; geometric means, for rates differ by factors."""

    start: float
    _logs: LearnedMeans = field(init=False)

    def __post_init__(self) -> None:
        self._logs = LearnedMeans(log(self.start))

    def learn(self, key: Hashable, size: float, seconds: float) -> None:
        """So many bytes took so long."""
        if size > 0.0:
            self._logs.learn(key, log(size / max(seconds, MIN_DURATION_S)))

    def seconds(self, key: Hashable, size: float) -> float:
        """How long so many bytes will take."""
        return size / exp(self._logs.of(key))


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Of one start: where, of which model, and what had to be brought there first."""

    node: str
    device: str
    model: str
    model_bytes: float
    image_bytes: float = IMAGE_BYTES
    pulls: bool = False
    fetches: bool = False


@dataclass(frozen=True, slots=True)
class ObservedStart:
    """Seconds that one start took: binding to container (whole seconds), file, model.

    None where not reported.
    """

    container_s: float | None = None
    fetch_s: float | None = None
    load_s: float | None = None


@dataclass(frozen=True, slots=True)
class StartDefaults:
    """What to expect before anything was observed.

    Making a container of an image that is there: sandbox, network, process. Pulling: download and
    unpacking on an edge node's link and card. Loading: reading weights, building the session.
    """

    container_s: float = 1.0
    pull_bytes_per_s: float = 8 * MB
    fetch_bytes_per_s: float = 10 * MB
    load_bytes_per_s: float = 150 * MB


@dataclass(slots=True)
class ColdStartEstimator:
    """What is known of starts on every node."""

    first: StartDefaults = field(default_factory=StartDefaults)
    _container: LearnedMeans = field(init=False)
    _pull: LearnedRates = field(init=False)
    _fetch: LearnedRates = field(init=False)
    _cached: LearnedRates = field(init=False)
    _load: LearnedRates = field(init=False)
    _loads: dict[tuple[str, str], FadingMean] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._container = LearnedMeans(self.first.container_s)
        self._pull = LearnedRates(self.first.pull_bytes_per_s)
        self._fetch = LearnedRates(self.first.fetch_bytes_per_s)
        self._cached = LearnedRates(max(self.first.fetch_bytes_per_s, CACHED_BYTES_PER_S))
        self._load = LearnedRates(self.first.load_bytes_per_s)

    def cold_s(self, at: ColdStart) -> float:
        """Container and load."""
        pull_s = self._pull.seconds(at.node, at.image_bytes) if at.pulls else 0.0
        return self._container.of(at.node) + pull_s + self._load_s(at)

    def transfer_s(self, at: ColdStart) -> float:
        """Bringing the model's file."""
        rate = self._fetch if at.fetches else self._cached
        return rate.seconds(at.node, at.model_bytes)

    def learn(self, at: ColdStart, seen: ObservedStart) -> None:
        """Take what one start took."""
        if seen.container_s is not None:
            if at.pulls:
                expected_s = self._pull.seconds(at.node, at.image_bytes)
                read_s = max(seen.container_s - self._container.of(at.node), 0.0)
                self._pull.learn(at.node, at.image_bytes, _nearest(expected_s, read_s))
            else:
                expected_s = self._container.of(at.node)
                self._container.learn(at.node, _nearest(expected_s, seen.container_s))
        if seen.fetch_s is not None:
            rate = self._fetch if at.fetches else self._cached
            rate.learn(at.node, at.model_bytes, seen.fetch_s)
        if seen.load_s is not None:
            self._load.learn(at.device, at.model_bytes, seen.load_s)
            self._loads.setdefault((at.device, at.model), FadingMean()).learn(seen.load_s)

    def _load_s(self, at: ColdStart) -> float:
        by_size_s = self._load.seconds(at.device, at.model_bytes)
        known = self._loads.get((at.device, at.model))
        return by_size_s if known is None else known.drawn_to(by_size_s)


def _nearest(expected_s: float, read_s: float) -> float:
    """What is nearest to the expectation among all times that would read the same."""
    return min(max(expected_s, read_s - ROUNDING_S, 0.0), read_s + ROUNDING_S)
