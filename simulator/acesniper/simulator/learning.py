"""Believing what finished tasks took: of the newest run of a model on a device, its own latency.

A predictor that was fitted to other devices also predicts the device's other models anew, with
what it ran as further readings. Others learn of nothing but the pair itself.
"""

from dataclasses import dataclass, field

import numpy as np

from acesniper.domain.task import ModelKey
from acesniper.policies.estimates import LatencyRow
from acesniper.simulator.cluster import SimulatedCluster
from acesniper.simulator.latency_source import LatencyEstimate

MIN_LOG_CHANGE = 1e-3
"""An observation this near to what is believed (log seconds) teaches nothing."""


def latency_rows(
    cluster: SimulatedCluster, belief: LatencyEstimate, source: str
) -> dict[ModelKey, LatencyRow]:
    """What is believed of the cluster's models, in seconds over its devices."""
    cells = np.ix_(cluster.rows, cluster.columns)
    spans = (belief.middle, belief.low, belief.high)
    middle, low, high = (np.exp(each[cells]) / 1e3 for each in spans)
    return {
        ModelKey(model): LatencyRow(middle[:, column], low[:, column], high[:, column], source)
        for column, model in enumerate(cluster.models)
    }


@dataclass(slots=True, eq=False)
class OnlineLearner:
    """Replaces rows of `believed` by what is learned in one run."""

    cluster: SimulatedCluster
    belief: LatencyEstimate
    believed: dict[ModelKey, LatencyRow]
    _seen: dict[int, np.ndarray] = field(default_factory=dict)
    """What is known of a device's models, by its place: ln ms, NaN where not measured."""

    def observe(self, device: int, model: int, latency_s: float) -> None:
        """Take note of a finished task's latency on a device of the cluster."""
        row = self.believed[ModelKey(self.cluster.models[model])]
        if abs(np.log(latency_s / row.latency_s[device])) < MIN_LOG_CHANGE:
            return
        self._believe(device, model, latency_s, 0.0)
        if self.belief.fit is None:
            return
        table_row = int(self.cluster.rows[device])
        seen = self._seen.setdefault(device, self.belief.fit.shown[table_row].copy())
        seen[self.cluster.columns[model]] = np.log(1e3 * latency_s)
        predicted = self.belief.fit.predict(table_row, seen)
        for place, column in enumerate(self.cluster.columns.tolist()):
            if np.isnan(seen[column]):
                margin = self.belief.high[table_row, column] - self.belief.middle[table_row, column]
                self._believe(device, place, float(np.exp(predicted[column]) / 1e3), float(margin))

    def _believe(self, device: int, model: int, latency_s: float, margin: float) -> None:
        """A new row, as plans may still hold the old one."""
        key = ModelKey(self.cluster.models[model])
        row = self.believed[key]
        spans = row.latency_s.copy(), row.low_s.copy(), row.high_s.copy()
        for values, sign in zip(spans, (0.0, -1.0, 1.0), strict=True):
            values[device] = latency_s * np.exp(sign * margin)
        self.believed[key] = LatencyRow(*spans, row.source)
