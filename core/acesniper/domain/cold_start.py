"""Estimates of the time from the binding of a pod to its first inference.

    container start (+ image pull) + fetch of the model file + load of the model

Each term is a rate or a time per node, learned from finished tasks. Defaults are used until there
are observations; with few observations an estimate is shrunk to the mean over all nodes. Each
namespace learns from its own tasks, and of others what they agree on.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from math import exp, log

from acesniper.domain.evidence import shared_shift
from acesniper.domain.latency_history import MAX_NAMESPACES

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
SHARED_FACTOR = 16.0
"""Most by which other namespaces change a rate that a namespace expects, of a node or device ..."""
SHARED_START_S = 60.0
"""... and the seconds by which they lengthen the start of a container."""


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
class NamespaceMeans:
    """A quantity by key, as the tasks of one namespace observed it."""

    _all: FadingMean = field(default_factory=FadingMean)
    _by_key: dict[Hashable, FadingMean] = field(default_factory=dict)

    def learn(self, key: Hashable, value: float) -> None:
        """Add an observation for a key."""
        self._all.learn(value)
        self._by_key.setdefault(key, FadingMean()).learn(value)

    def of(self, key: Hashable, prior: float) -> float:
        """The mean for a key: shrunk to the mean over all keys, which is shrunk to `prior`."""
        expected = self._all.shrink_to(prior)
        mean = self._by_key.get(key)
        return expected if mean is None else mean.shrink_to(expected)


@dataclass(slots=True)
class LearnedMeans:
    """A quantity by key, for each namespace; `start` without observations.

    A namespace's own mean is shrunk to what the other namespaces agree on (`shared_shift`), which
    differs from `start` by `bound` at most.
    """

    start: float
    bound: float
    _own: dict[str, NamespaceMeans] = field(default_factory=dict)
    _shared: dict[str, NamespaceMeans] = field(default_factory=dict)
    _agreed: dict[tuple[Hashable, str], float] = field(default_factory=dict)

    def learn(
        self, key: Hashable, value: float, namespace: str = "", *, shared: bool = True
    ) -> None:
        """Add an observation for a key; others learn from it only if it is `shared`."""
        self._agreed.clear()
        for means in (self._own, self._shared) if shared else (self._own,):
            # The namespaces that learned last are kept.
            means[namespace] = means.pop(namespace) if namespace in means else NamespaceMeans()
            means[namespace].learn(key, value)
            if len(means) > MAX_NAMESPACES:
                del means[next(iter(means))]

    def of(self, key: Hashable, namespace: str = "") -> float:
        """The estimate for a key, as a namespace may expect it."""
        own = self._own.get(namespace)
        prior = self._prior(key, namespace if namespace in self._shared else "")
        return prior if own is None else own.of(key, prior)

    def _prior(self, key: Hashable, namespace: str) -> float:
        """What the namespaces other than this one agree on."""
        prior = self._agreed.get((key, namespace))
        if prior is None:
            shifts = (
                means.of(key, self.start) - self.start
                for name, means in self._shared.items()
                if name != namespace
            )
            prior = self._agreed[key, namespace] = self.start + shared_shift(shifts, self.bound)
        return prior


@dataclass(slots=True)
class LearnedRates:
    """Bytes per second by key, as geometric means: rates differ by factors."""

    start: float
    _logs: LearnedMeans = field(init=False)

    def __post_init__(self) -> None:
        self._logs = LearnedMeans(log(self.start), log(SHARED_FACTOR))

    def learn(
        self,
        key: Hashable,
        size: float,
        seconds: float,
        namespace: str = "",
        *,
        shared: bool = True,
    ) -> None:
        """Add an observation: `size` bytes took `seconds`."""
        if size > 0.0:
            value = log(size / max(seconds, MIN_DURATION_S))
            self._logs.learn(key, value, namespace, shared=shared)

    def seconds(self, key: Hashable, size: float, namespace: str = "") -> float:
        """The estimated time for `size` bytes."""
        return size / exp(self._logs.of(key, namespace))


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

    @property
    def namespace(self) -> str:
        """The namespace of the task and its model."""
        return self.model.partition("/")[0]


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
    learn_from_containers: bool = False
    """Learn from containers other than our runner, for their namespace alone."""
    _container: LearnedMeans = field(init=False)
    _pull: LearnedRates = field(init=False)
    _fetch: LearnedRates = field(init=False)
    _cached: LearnedRates = field(init=False)
    _load: LearnedRates = field(init=False)
    _loads: dict[tuple[str, str], FadingMean] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._container = LearnedMeans(self.first.container_s, SHARED_START_S)
        self._pull = LearnedRates(self.first.pull_bytes_per_s)
        self._fetch = LearnedRates(self.first.fetch_bytes_per_s)
        self._cached = LearnedRates(max(self.first.fetch_bytes_per_s, CACHED_BYTES_PER_S))
        self._load = LearnedRates(self.first.load_bytes_per_s)

    def cold_s(self, at: ColdStart) -> float:
        """Estimated seconds for container start, image pull and model load."""
        pull_s = 0.0
        if at.pulls:
            pull_s = self._pull.seconds(at.node, at.image_bytes, at.namespace)
        return self._container.of(at.node, at.namespace) + pull_s + self._load_s(at)

    def transfer_s(self, at: ColdStart) -> float:
        """Estimated seconds to fetch the model file."""
        rate = self._fetch if at.fetches else self._cached
        return rate.seconds(at.node, at.model_bytes, at.namespace)

    def learn(self, at: ColdStart, observed: ObservedStart, *, by_runner: bool = True) -> None:
        """Learn from an observed start; `by_runner`: of our runner, not of another container."""
        if not (by_runner or self.learn_from_containers):
            return
        namespace = at.namespace
        if observed.container_s is not None:
            if at.pulls:
                expected_s = self._pull.seconds(at.node, at.image_bytes, namespace)
                started_s = self._container.of(at.node, namespace)
                read_s = _nearest(expected_s, max(observed.container_s - started_s, 0.0))
                self._pull.learn(at.node, at.image_bytes, read_s, namespace, shared=by_runner)
            else:
                expected_s = self._container.of(at.node, namespace)
                read_s = _nearest(expected_s, observed.container_s)
                self._container.learn(at.node, read_s, namespace, shared=by_runner)
        if observed.fetch_s is not None:
            rate = self._fetch if at.fetches else self._cached
            rate.learn(at.node, at.model_bytes, observed.fetch_s, namespace, shared=by_runner)
        if observed.load_s is not None:
            seconds = observed.load_s
            self._load.learn(at.device, at.model_bytes, seconds, namespace, shared=by_runner)
            self._loads.setdefault((at.device, at.model), FadingMean()).learn(seconds)

    def _load_s(self, at: ColdStart) -> float:
        by_size_s = self._load.seconds(at.device, at.model_bytes, at.namespace)
        observed = self._loads.get((at.device, at.model))
        return by_size_s if observed is None else observed.shrink_to(by_size_s)


def _nearest(expected_s: float, read_s: float) -> float:
    """The duration closest to the estimate among those that read as `read_s` in whole seconds."""
    return min(max(expected_s, read_s - ROUNDING_S, 0.0), read_s + ROUNDING_S)
