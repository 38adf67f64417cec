"""The extender's and planner's metrics, declared in one place."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

REQUEST_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
PLAN_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class ExtenderMetrics:
    """Instruments on one registry."""

    request_seconds: Histogram
    request_nodes: Histogram
    decisions: Counter
    plan_seconds: Histogram
    predict_seconds: Histogram
    planned_at: Gauge
    queue_length: Gauge
    queue_overdue: Gauge
    queue_age_seconds: Gauge

    @classmethod
    def on(cls, registry: CollectorRegistry) -> Self:
        """Declare all instruments on a registry."""
        return cls(
            request_seconds=Histogram(
                "acesniper_extender_request_seconds",
                "Time to answer kube-scheduler.",
                ["verb"],
                registry=registry,
                buckets=REQUEST_BUCKETS,
            ),
            request_nodes=Histogram(
                "acesniper_extender_request_nodes",
                "Candidate nodes in a request of kube-scheduler.",
                ["verb"],
                registry=registry,
                buckets=(1, 10, 100, 500, 1000, 5000),
            ),
            decisions=Counter(
                "acesniper_decisions",
                "Decisions by verb (admit, filter, prioritize) and outcome.",
                ["verb", "outcome"],
                registry=registry,
            ),
            plan_seconds=Histogram(
                "acesniper_plan_seconds",
                "Time to make a plan.",
                registry=registry,
                buckets=PLAN_BUCKETS,
            ),
            predict_seconds=Histogram(
                "acesniper_predict_seconds",
                "Time to predict what is new in the latency table.",
                registry=registry,
                buckets=PLAN_BUCKETS,
            ),
            planned_at=Gauge(
                "acesniper_plan_timestamp_seconds",
                "When this planner last made a plan, in seconds since the epoch; 0: not yet, or "
                "another one holds the lease.",
                registry=registry,
            ),
            queue_overdue=Gauge(
                "acesniper_queue_overdue_length",
                "Tasks that still wait although their deadline has passed.",
                registry=registry,
            ),
            queue_length=Gauge(
                "acesniper_queue_length", "Tasks that wait for a device.", registry=registry
            ),
            queue_age_seconds=Gauge(
                "acesniper_queue_age_seconds",
                "Age of the oldest task that waits.",
                registry=registry,
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)  # a registry keeps collectors by identity
class Sampled(Collector):
    """Gauges with one label whose values are read when Prometheus asks.

    Each entry of `families` is name, help, label, and a function that yields (label, value). The
    functions read what watches change, so `sample` is called on the event loop; writing the text
    for thousands of devices is not, and `collect` uses what was sampled last.
    """

    families: tuple[tuple[str, str, str, Callable[[], Iterable[tuple[str, float]]]], ...]
    _last: dict[str, list[tuple[str, float]]] = field(default_factory=dict)

    def sample(self) -> None:
        """Read every family now."""
        for name, _, _, read in self.families:
            self._last[name] = list(read())

    def collect(self) -> Iterable[Metric]:
        """The families as they were sampled."""
        for name, text, label, _ in self.families:
            family = GaugeMetricFamily(name, text, labels=[label])
            for key, value in self._last.get(name, ()):
                family.add_metric([key], value)
            yield family
