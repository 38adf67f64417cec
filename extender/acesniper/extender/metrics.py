"""Metrics of the extender and the planner."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from acesniper.predictor.factory import ReplaceablePredictor
from acesniper.runtime.listener import CLOSE_REASONS, CloseReason
from acesniper.runtime.metrics import (
    DEVICE,
    NAMESPACE,
    Declaration,
    Instruments,
    Label,
    counter,
    gauge,
    histogram,
)

REQUEST_BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
NODE_BUCKETS = (1, 10, 100, 500, 1000, 5000)
PLAN_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
VERB = Label.of("verb", "filter", "prioritize")
WATCHED = (
    "nodes",
    "deviceprofiles",
    "modelprofiles",
    "inferencetasks",
    "pods",
    "persistentvolumes",
    "persistentvolumeclaims",
    "storageclasses",
)
OUTCOMES = ("planned", "predicted", "refused", "stock", "neutral", "failed", "expired")
REASONS = (
    "",
    "no model",
    "unknown model",
    "no prediction",
    "no device here",
    "planned",
    "planned elsewhere",
    "deadline",
    "not bound in time",
    "API server",
)


@dataclass(frozen=True, slots=True)
class ExtenderMetrics(Instruments):
    """Instruments of the extender and the planner, on one registry."""

    request_seconds: Histogram = histogram(
        "acesniper_extender_request_seconds",
        "Time to respond to a request of kube-scheduler.",
        VERB,
        buckets=REQUEST_BUCKETS,
    )
    request_nodes: Histogram = histogram(
        "acesniper_extender_request_nodes",
        "Candidate nodes in a request of kube-scheduler.",
        VERB,
        buckets=NODE_BUCKETS,
    )
    decisions: Counter = counter(
        "acesniper_decisions",
        "Decisions by verb and outcome, with the reason where there is one.",
        Label.of("verb", "admit", "filter", "prioritize"),
        Label.of("outcome", *OUTCOMES),
        Label.of("reason", *REASONS),
    )
    plan_seconds: Histogram = histogram(
        "acesniper_plan_seconds", "Time to compute a plan.", buckets=PLAN_BUCKETS
    )
    plan_moves: Counter = counter(
        "acesniper_plan_moves", "Pending tasks that a new plan assigned to another device."
    )
    explored: Counter = counter(
        "acesniper_explored",
        "Tasks admitted to a device with few observations, to improve its predictions.",
    )
    predict_seconds: Histogram = histogram(
        "acesniper_predict_seconds",
        "Time to predict new entries of the latency table.",
        buckets=PLAN_BUCKETS,
    )
    planned_at: Gauge = gauge(
        "acesniper_plan_timestamp_seconds",
        "Time of this planner's last plan, in seconds since the epoch; 0 before the first plan and "
        "on replicas that do not hold the lease.",
    )
    queue_length: Gauge = gauge("acesniper_queue_length", "Pending tasks.")
    queue_overdue: Gauge = gauge(
        "acesniper_queue_overdue_length", "Pending tasks whose deadline has passed."
    )
    queue_age_seconds: Gauge = gauge(
        "acesniper_queue_age_seconds", "Age of the oldest pending task."
    )
    closed_connections: Counter = counter(
        "acesniper_extender_closed_connections",
        "HTTP connections closed because of a limit: the number of connections, the size of "
        "requests, or the time for a handshake, a request, a response or between requests.",
        Label.of("port", "scheduler", "health", "page"),
        Label.of("reason", *CLOSE_REASONS),
    )

    def connection_closed(self, port: str) -> Callable[[CloseReason], None]:
        """Return a function that counts a closed connection of a port."""
        return lambda reason: self.closed_connections.labels(port, reason).inc()


BACKLOG = Declaration(
    Gauge, "acesniper_backlog_seconds", "Expected remaining work reserved on a device.", (DEVICE,)
)
PROFILE_AGE = Declaration(
    Gauge, "acesniper_profile_age_seconds", "Time since a device was last probed.", (DEVICE,)
)
WATCH_AGE = Declaration(
    Gauge,
    "acesniper_watch_event_age_seconds",
    "Time since the last event or bookmark of a watch.",
    (Label.of("kind", *WATCHED),),
)
SKIPPED = Declaration(
    Gauge,
    "acesniper_extender_skipped_objects",
    "Objects that cannot be read or do not match their schema; the extender skips them.",
    (Label.of("kind", *WATCHED),),
)
NAMESPACE_USED = Declaration(
    Gauge,
    "acesniper_namespace_used_seconds",
    "Device seconds that a namespace's pods used that ended since the planner started.",
    (NAMESPACE,),
)
NAMESPACE_HELD = Declaration(
    Gauge,
    "acesniper_namespace_held_seconds",
    "Predicted remaining device seconds of a namespace's pods that hold devices.",
    (NAMESPACE,),
)
NAMESPACE_WAITING = Declaration(
    Gauge,
    "acesniper_namespace_waiting_seconds",
    "Predicted device seconds of a namespace's waiting tasks.",
    (NAMESPACE,),
)

MODEL = Declaration(
    Gauge,
    "acesniper_network_info",
    "1 for the network that predicts latencies, by the SHA-256 of its file.",
    (Label.of("digest", "shipped", "a SHA-256"),),
)
MODEL_REJECTED = Declaration(
    Gauge,
    "acesniper_network_refused",
    "1 while the network's file is invalid and the previous network is used.",
)
RETRAINING_BETTER = Declaration(
    Gauge,
    "acesniper_retraining_better",
    "1 if the last retraining found a network better than the one in use.",
)
RETRAINING_CERTAINTY = Declaration(
    Gauge,
    "acesniper_retraining_certainty_ratio",
    "Confidence of the last retraining that its network is better.",
)
RETRAINING_ERROR = Declaration(
    Gauge,
    "acesniper_retraining_error_ratio",
    "Median error on the most recent runs, which the new network was not trained on.",
    (Label.of("network", "old", "new"),),
)
MODEL_DECLARATIONS = (
    MODEL,
    MODEL_REJECTED,
    RETRAINING_BETTER,
    RETRAINING_CERTAINTY,
    RETRAINING_ERROR,
)
"""Metrics of a network that may be replaced while it serves."""

VERDICT_FILE = "verdict.json"
"""Next to the network's file: the result of the last `acesniper network retrain`."""

ReadValues = Callable[[], Iterable[tuple[str, float]]]
"""Yields (label, value)."""


def declarations() -> Sequence[Declaration]:
    """Return all metrics of the extender."""
    return [
        *ExtenderMetrics.declarations(),
        BACKLOG,
        PROFILE_AGE,
        WATCH_AGE,
        SKIPPED,
        NAMESPACE_USED,
        NAMESPACE_HELD,
        NAMESPACE_WAITING,
        *MODEL_DECLARATIONS,
    ]


@dataclass(frozen=True, slots=True, eq=False)  # a registry keeps collectors by identity
class SampledGauges(Collector):
    """Gauges with one label whose values are read from the live state at each scrape.

    Watch events change that state, so `sample` has to be called on the event loop. Formatting the
    text for thousands of devices does not; `collect` uses the last sample.
    """

    families: tuple[tuple[Declaration, ReadValues], ...]
    _last: dict[str, list[tuple[str, float]]] = field(default_factory=dict)

    def sample(self) -> None:
        """Read all families now."""
        for declaration, read in self.families:
            self._last[declaration.name] = list(read())

    def collect(self) -> Iterable[Metric]:
        """Return the families as last sampled."""
        for declaration, _ in self.families:
            yield declaration.family(self._last.get(declaration.name, ()))


@dataclass(frozen=True, slots=True, eq=False)  # a registry keeps collectors by identity
class ModelMetrics(Collector):
    """Gauges of the network that predicts latencies and of its last retraining."""

    predictor: ReplaceablePredictor

    @classmethod
    def on(cls, registry: CollectorRegistry, predictor: ReplaceablePredictor) -> Self:
        """Register the gauges."""
        collector = cls(predictor)
        registry.register(collector)
        return collector

    def collect(self) -> Iterator[Metric]:
        """Return which network is used, whether its file is invalid, and the last verdict."""
        yield MODEL.family([(self.predictor.digest, 1.0)])
        yield _unlabelled(MODEL_REJECTED, self.predictor.rejected is not None)
        yield from _retraining(self.predictor.file.with_name(VERDICT_FILE))


def _retraining(file: Path) -> Iterator[Metric]:
    """Metrics of the last retraining; none without a valid verdict."""
    try:
        verdict = json.loads(file.read_text(encoding="utf-8"))
        better, certainty = verdict["verdict"] == "better", float(verdict["certainty"])
        scores = {name: verdict.get(name) or {} for name in ("old", "new")}
        errors = {name: float(score["median_error_pct"]) for name, score in scores.items() if score}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    yield _unlabelled(RETRAINING_BETTER, better)
    yield _unlabelled(RETRAINING_CERTAINTY, certainty)
    yield RETRAINING_ERROR.family([(name, error / 100) for name, error in errors.items()])


def _unlabelled(declaration: Declaration, value: float) -> Metric:
    return GaugeMetricFamily(declaration.name, declaration.help, value=float(value))
