"""The extender's and planner's metrics, declared in one place."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from acesniper.predictor.factory import ReplaceablePredictor
from acesniper.runtime.metrics import (
    DEVICE,
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
WATCHED = ("nodes", "deviceprofiles", "modelprofiles", "inferencetasks", "pods")


@dataclass(frozen=True, slots=True)
class ExtenderMetrics(Instruments):
    """Instruments on one registry."""

    request_seconds: Histogram = histogram(
        "acesniper_extender_request_seconds",
        "Time to answer kube-scheduler.",
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
        "Decisions by verb and outcome, and why: planned and predicted ones need no reason.",
        Label.of("verb", "admit", "filter", "prioritize"),
        Label.of(
            *("outcome", "planned", "predicted", "refused", "stock", "neutral"),
            *("failed", "expired"),
        ),
        Label.of(
            *("reason", "", "no model", "unknown model", "no prediction", "no device here"),
            *("planned", "planned elsewhere", "deadline", "not bound in time", "API server"),
        ),
    )
    plan_seconds: Histogram = histogram(
        "acesniper_plan_seconds", "Time to make a plan.", buckets=PLAN_BUCKETS
    )
    plan_moves: Counter = counter(
        "acesniper_plan_moves", "Waiting tasks that a new plan gave to another device."
    )
    explored: Counter = counter(
        "acesniper_explored",
        "Tasks admitted to a less well known device, so that its predictions improve.",
    )
    predict_seconds: Histogram = histogram(
        "acesniper_predict_seconds",
        "Time to predict what is new in the latency table.",
        buckets=PLAN_BUCKETS,
    )
    planned_at: Gauge = gauge(
        "acesniper_plan_timestamp_seconds",
        "When this planner last made a plan, in seconds since the epoch; 0: not yet, or another "
        "one holds the lease.",
    )
    queue_length: Gauge = gauge("acesniper_queue_length", "Tasks that wait for a device.")
    queue_overdue: Gauge = gauge(
        "acesniper_queue_overdue_length",
        "Tasks that still wait although their deadline has passed.",
    )
    queue_age_seconds: Gauge = gauge(
        "acesniper_queue_age_seconds", "Age of the oldest task that waits."
    )


BACKLOG = Declaration(Gauge, "acesniper_backlog_seconds", "Work promised to a device.", (DEVICE,))
PROFILE_AGE = Declaration(
    Gauge, "acesniper_profile_age_seconds", "Age of a device's measurement.", (DEVICE,)
)
WATCH_AGE = Declaration(
    *(Gauge, "acesniper_watch_event_age_seconds"),
    "Time since the API server last wrote to a watch.",
    (Label.of("kind", *WATCHED),),
)

MODEL = Declaration(
    *(Gauge, "acesniper_network_info"),
    "1 for the network that predicts, by the SHA-256 of its file.",
    (Label.of("digest", "shipped", "a SHA-256"),),
)
MODEL_REJECTED = Declaration(
    *(Gauge, "acesniper_network_refused"),
    "1 while the network's file cannot be used and the one before goes on.",
)
RETRAINING_BETTER = Declaration(
    *(Gauge, "acesniper_retraining_better"),
    "1 if the network of the last retraining was better than the one that served.",
)
RETRAINING_CERTAINTY = Declaration(
    Gauge, "acesniper_retraining_certainty_ratio", "How certain it was that it is better."
)
RETRAINING_ERROR = Declaration(
    *(Gauge, "acesniper_retraining_error_ratio"),
    "Median error on the most recent runs, which the new network was not trained on.",
    (Label.of("network", "old", "new"),),
)
MODEL_DECLARATIONS = (
    *(MODEL, MODEL_REJECTED, RETRAINING_BETTER, RETRAINING_CERTAINTY),
    RETRAINING_ERROR,
)
"""Of a network that may be replaced while it serves (`network.py`)."""

Read = Callable[[], Iterable[tuple[str, float]]]


def declarations() -> Sequence[Declaration]:
    """All metrics of this part."""
    return [*ExtenderMetrics.declarations(), BACKLOG, PROFILE_AGE, WATCH_AGE, *MODEL_DECLARATIONS]


@dataclass(frozen=True, slots=True, eq=False)  # a registry keeps collectors by identity
class SampledGauges(Collector):
    """Gauges with one label whose values are read when Prometheus asks.

    The functions in `families` yield (label, value). They read what watches change, so `sample` is
    called on the event loop; writing the text for thousands of devices is not, and `collect` uses
    what was sampled last.
    """

    families: tuple[tuple[Declaration, Read], ...]
    _last: dict[str, list[tuple[str, float]]] = field(default_factory=dict)

    def sample(self) -> None:
        """Read every family now."""
        for declaration, read in self.families:
            self._last[declaration.name] = list(read())

    def collect(self) -> Iterable[Metric]:
        """The families as they were sampled."""
        for declaration, _ in self.families:
            yield declaration.family(self._last.get(declaration.name, ()))


VERDICT = "verdict.json"
"""Beside the network's file: what `acesniper network retrain` said last."""


@dataclass(frozen=True, slots=True, eq=False)  # a registry keeps collectors by identity
class ModelMetrics(Collector):
    """Gauges that are read when Prometheus asks."""

    predictor: ReplaceablePredictor

    @classmethod
    def on(cls, registry: CollectorRegistry, predictor: ReplaceablePredictor) -> Self:
        """Register them."""
        made = cls(predictor)
        registry.register(made)
        return made

    def collect(self) -> Iterator[Metric]:
        """Which network serves, whether its file is refused, and the last verdict."""
        yield MODEL.family([(self.predictor.digest, 1.0)])
        yield _plain(MODEL_REJECTED, self.predictor.rejected is not None)
        yield from _verdict(self.predictor.file.with_name(VERDICT))


def _verdict(file: Path) -> Iterator[Metric]:
    """The last retraining; nothing where there was none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        better, certainty = found["verdict"] == "better", float(found["certainty"])
        figures = {name: found.get(name) or {} for name in ("old", "new")}
        errors = {name: float(each["median_error_pct"]) for name, each in figures.items() if each}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    yield _plain(RETRAINING_BETTER, better)
    yield _plain(RETRAINING_CERTAINTY, certainty)
    yield RETRAINING_ERROR.family([(name, each / 100) for name, each in errors.items()])


def _plain(declared: Declaration, value: float) -> Metric:
    return GaugeMetricFamily(declared.name, declared.help, value=float(value))
