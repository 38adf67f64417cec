"""Follows the network's file: what serves, and what came out of the last retraining."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from acesniper.predictor.replaceable import ReplaceablePredictor
from acesniper.runtime.metrics import Declaration, Label

VERDICT = "verdict.json"
"""Beside the network's file: what `acesniper train --from observations` said last."""

SERVES = Declaration(
    *(Gauge, "acesniper_network_info"),
    "1 for the network that predicts, by the SHA-256 of its file.",
    (Label("digest", per="network"),),
)
REFUSED = Declaration(
    *(Gauge, "acesniper_network_refused"),
    "1 while the network's file cannot be used and the one before goes on.",
)
BETTER = Declaration(
    *(Gauge, "acesniper_retraining_better"),
    "1 if the network of the last retraining was better than the one that served.",
)
CERTAINTY = Declaration(Gauge, "acesniper_retraining_certainty_ratio", "How certain that was.")
ERROR = Declaration(
    *(Gauge, "acesniper_retraining_error_ratio"),
    "Median error on the most recent runs, which no network was trained on: old and new.",
    (Label.of("network", "old", "new"),),
)
DECLARED = (SERVES, REFUSED, BETTER, CERTAINTY, ERROR)


@dataclass(frozen=True, slots=True, eq=False)  # a registry keeps collectors by identity
class NetworkMetrics(Collector):
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
        yield SERVES.family([(self.predictor.digest, 1.0)])
        yield REFUSED.family([("", float(self.predictor.refused is not None))])
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
    yield BETTER.family([("", float(better))])
    yield CERTAINTY.family([("", certainty)])
    yield ERROR.family([(name, error_pct / 100) for name, error_pct in errors.items()])
