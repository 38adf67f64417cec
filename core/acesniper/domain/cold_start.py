"""Estimates of the time from the binding of a pod to its first inference.

    container start (+ image pull) + fetch of the model file + load of the model

Each term is a rate or a time per node, learned from finished tasks. Defaults are used until there
are observations; with few observations an estimate is shrunk to the mean over all nodes.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from math import exp, log

MB = 1e6

IMAGE_BYTES = 300 * MB
"""Size of an image that no node reports."""
CACHED_BYTES_PER_S = 100 * MB
"""Rate for a model file that the node has read before: from the page cache or a file cache."""
MIN_DURATION_S = 1e-6
"""Shorter durations are counted as this, to keep rates finite."""

ROUNDING_S = 1.0
"""Kubernetes timestamps are whole seconds: 1.2 s may read as 1 or 2, and 0.1 s as 1."""

PRIOR_WEIGHT = 2.0
"""Weight of the prior mean, in observations."""
MAX_WEIGHT = 20.0
"""Limit of a mean's weight: older observations decay."""


@dataclass(slots=True)
class FadingMean:
    """An exponentially decaying mean of `weight` observations."""

    value: float = 0.0
    weight: float = 0.0

    def learn(self, value: float) -> None:
        """Add an observation."""
        self.weight = min(self.weight + 1.0, MAX_WEIGHT)
        self.value += (value - self.value) / self.weight

    def shrink_to(self, prior: float) -> float:
        """The mean, shrunk to `prior` in proportion to the weight of the observations."""
        return (self.value * self.weight + prior * PRIOR_WEIGHT) / (self.weight + PRIOR_WEIGHT)


@dataclass(slots=True)
class LearnedMeans:
    """A quantity by key: shrunk to the mean over all keys, which is shrunk to `start`."""

    start: float
    _all: FadingMean = field(default_factory=FadingMean)
    _by_key: dict[Hashable, FadingMean] = field(default_factory=dict)

    def learn(self, key: Hashable, value: float) -> None:
        """Add an observation for a key."""
        self._all.learn(value)
        self._by_key.setdefault(key, FadingMean()).learn(value)

    def of(self, key: Hashable) -> float:
        """The estimate for a key."""
        expected = self._all.shrink_to(self.start)
        mean = self._by_key.get(key)
        return expected if mean is None else mean.shrink_to(expected)


@dataclass(slots=True)
class LearnedRates:
    """Bytes per second by key, as geometric means: rates differ by factors."""

    start: float
    _logs: LearnedMeans = field(init=False)

    def __post_init__(self) -> None:
        self._logs = LearnedMeans(log(self.start))

    def learn(self, key: Hashable, size: float, seconds: float) -> None:
        """Add an observation: `size` bytes took `seconds`."""
        if size > 0.0:
            self._logs.learn(key, log(size / max(seconds, MIN_DURATION_S)))

    def seconds(self, key: Hashable, size: float) -> float:
        """The estimated time for `size` bytes."""
        return size / exp(self._logs.of(key))


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One start of a pod: where, of which model, and whether image and model are fetched first."""

    node: str
    device: str
    model: str
    model_bytes: float
    image_bytes: float = IMAGE_BYTES
    pulls: bool = False
    fetches: bool = False


@dataclass(frozen=True, slots=True)
class ObservedStart:
    """Observed seconds of one start: until the container runs, file fetch and model load.

    `container_s` has a resolution of whole seconds. None: not reported.
    """

    container_s: float | None = None
    fetch_s: float | None = None
    load_s: float | None = None


@dataclass(frozen=True, slots=True)
class StartDefaults:
    """Estimates to use before there are observations.

    `container_s`: sandbox, network and process of a container whose image is on the node.
    `pull_bytes_per_s`: download and unpacking over an edge node's link and storage.
    `load_bytes_per_s`: reading the weights and building the session.
    """

    container_s: float = 1.0
    pull_bytes_per_s: float = 8 * MB
    fetch_bytes_per_s: float = 10 * MB
    load_bytes_per_s: float = 150 * MB


@dataclass(slots=True)
class ColdStartEstimator:
    """Estimates cold starts on every node, and learns from observed ones."""

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
        """Estimated seconds for container start, image pull and model load."""
        pull_s = self._pull.seconds(at.node, at.image_bytes) if at.pulls else 0.0
        return self._container.of(at.node) + pull_s + self._load_s(at)

    def transfer_s(self, at: ColdStart) -> float:
        """Estimated seconds to fetch the model file."""
        rate = self._fetch if at.fetches else self._cached
        return rate.seconds(at.node, at.model_bytes)

    def learn(self, at: ColdStart, observed: ObservedStart) -> None:
        """Learn from an observed start."""
        if observed.container_s is not None:
            if at.pulls:
                expected_s = self._pull.seconds(at.node, at.image_bytes)
                read_s = max(observed.container_s - self._container.of(at.node), 0.0)
                self._pull.learn(at.node, at.image_bytes, _nearest(expected_s, read_s))
            else:
                expected_s = self._container.of(at.node)
                self._container.learn(at.node, _nearest(expected_s, observed.container_s))
        if observed.fetch_s is not None:
            rate = self._fetch if at.fetches else self._cached
            rate.learn(at.node, at.model_bytes, observed.fetch_s)
        if observed.load_s is not None:
            self._load.learn(at.device, at.model_bytes, observed.load_s)
            self._loads.setdefault((at.device, at.model), FadingMean()).learn(observed.load_s)

    def _load_s(self, at: ColdStart) -> float:
        by_size_s = self._load.seconds(at.device, at.model_bytes)
        observed = self._loads.get((at.device, at.model))
        return by_size_s if observed is None else observed.shrink_to(by_size_s)


def _nearest(expected_s: float, read_s: float) -> float:
    """The duration closest to the estimate among those that read as `read_s` in whole seconds."""
    return min(max(expected_s, read_s - ROUNDING_S, 0.0), read_s + ROUNDING_S)
