"""The physical baseline: a model takes what its parts take in the probes.

Per operator class: work in units of the matching probe, times that probe's time on the device;
plus a dispatch cost per node and the fixed cost of a run. Nothing is learned, so nothing is
calibrated either: the interval is a stated prior.
"""

from collections.abc import Sequence
from math import log

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Explanation, Prediction
from acesniper.predictor.analytical import ModelWork, model_work, net_of_fusion
from acesniper.predictor.base import LatencyArrays, Observation, Observations, corrected_table
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.out_of_distribution import OPAQUE_LOG_SIGMA, opaque_share
from acesniper.predictor.probe_matrix import (
    ProbeMatrix,
    Suite,
    check_versions,
    known_suite,
    probe_matrix,
)

LOG_SIGMA = 0.40
"""Prior standard deviation of log latency: physics alone was off by 25 to 40 % in trials."""

IMPLIED_LOG_SIGMA = 0.7
"""Added (in quadrature) as far as the time rests on probes that relatives had to fill in."""

Z_90 = 1.6449
"""Half of a central 90 % interval, in standard deviations."""


class PhysicsPredictor:
    """Predicts latency from probe readings alone."""

    source = "physics-1"

    def __init__(self, suite: Suite | None = None) -> None:
        self._suite = suite or known_suite()

    def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
        """The latency, or None where the device's readings say too little."""
        check_versions(model, device, self._suite)
        return self.predict_all([model], [device])[0][0]

    def predict_all(
        self, models: Sequence[ModelFeatures], devices: Sequence[HardwareVector]
    ) -> Sequence[Sequence[Prediction | None]]:
        """The table as domain objects, a row per model."""
        return self.table(models, devices).predictions(self.source)

    def table(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyArrays:
        """All pairs at once. A vector of another version is NaN throughout."""
        if not models or not devices:
            empty = np.empty((len(models), len(devices)))
            return LatencyArrays(empty, empty)
        asked, found = model_work(models, self._suite), probe_matrix(devices, self._suite)
        share = sum(asked.share.values(), np.zeros((len(models), len(self._suite.probes))))
        net = net_of_fusion(found.net_s, self._suite)
        latency = share @ net.T + np.outer(asked.nodes, found.node_s) + found.run_s
        stale = np.asarray([model.version != FEATURES_VERSION for model in models])
        latency[stale] = np.nan
        plain = LatencyArrays(latency, Z_90 * self._log_sigma(models, share, found, latency))
        return corrected_table(plain, models, observed)

    def explain(
        self, model: ModelFeatures, device: HardwareVector, observed: Sequence[Observation] = ()
    ) -> Explanation | None:
        """Where the predicted time goes; nothing but what was observed corrects it."""
        plain = self.predict(model, device)
        ((prediction,),) = self.table([model], [device], [observed]).predictions(self.source)
        if plain is None or prediction is None:
            return None
        asked, found = model_work([model], self._suite), probe_matrix([device], self._suite)
        parts = _parts(asked, found, self._suite)
        longest = dict(sorted(parts.items(), key=lambda pair: -pair[1]))
        correction = log(prediction.latency_s / plain.latency_s)
        return Explanation(prediction, longest, observed=correction, similar=model.similar)

    def _log_sigma(
        self,
        models: Sequence[ModelFeatures],
        share: np.ndarray,
        found: ProbeMatrix,
        latency: np.ndarray,
    ) -> np.ndarray:
        """The prior spread of each prediction, shape (models, devices)."""
        implied = np.zeros_like(latency)
        if found.implied.any():
            filled = np.where(found.implied, net_of_fusion(found.net_s, self._suite), 0.0)
            implied = share @ filled.T / latency
        opaque = np.asarray([opaque_share(model) for model in models])[:, None]
        variance = LOG_SIGMA**2 + (IMPLIED_LOG_SIGMA * implied) ** 2
        return np.sqrt(variance + (OPAQUE_LOG_SIGMA * opaque) ** 2)


def _parts(asked: ModelWork, found: ProbeMatrix, suite: Suite) -> dict[str, float]:
    net = net_of_fusion(found.net_s, suite)[0]
    parts = {name: float(share[0] @ net) for name, share in asked.share.items()}
    parts["dispatch"] = float(asked.nodes[0] * found.node_s[0])
    parts["run"] = float(found.run_s[0])
    return parts
