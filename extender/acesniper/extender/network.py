"""Follows the network's file: what serves, and what came out of the last retraining."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from acesniper.predictor.replaceable import ReplaceablePredictor

VERDICT = "verdict.json"
"""Beside the network's file: what `acesniper train --from observations` said last."""
ERROR = "acesniper_retraining_error_ratio"


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
        info = GaugeMetricFamily(
            "acesniper_network_info",
            "1 for the network that predicts, by the SHA-256 of its file.",
            labels=["digest"],
        )
        info.add_metric([self.predictor.digest], 1)
        yield info
        yield GaugeMetricFamily(
            "acesniper_network_refused",
            "1 while the network's file cannot be used and the one before goes on.",
            value=float(self.predictor.refused is not None),
        )
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
    yield GaugeMetricFamily(
        "acesniper_retraining_better",
        "1 if the network of the last retraining was better than the one that served.",
        value=float(better),
    )
    yield GaugeMetricFamily(
        "acesniper_retraining_certainty_ratio",
        "How certain that was.",
        value=certainty,
    )
    family = GaugeMetricFamily(
        ERROR,
        "Median error on the most recent runs, which no network was trained on: old and new.",
        labels=["network"],
    )
    for name, error_pct in errors.items():
        family.add_metric([name], error_pct / 100)
    yield family
