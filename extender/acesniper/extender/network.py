"""Metrics of a network that may be replaced: which one serves, what the last retraining found."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from acesniper.extender.metrics import (
    MODEL,
    MODEL_REJECTED,
    RETRAINING_BETTER,
    RETRAINING_CERTAINTY,
    RETRAINING_ERROR,
)
from acesniper.predictor.replaceable import ReplaceablePredictor
from acesniper.runtime.metrics import Declaration

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
        yield _plain(MODEL_REJECTED, self.predictor.refused is not None)
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
