"""The physical baseline: a model takes what its parts take in the probes.

Per operator class: work in units of the matching probe, times that probe's time on the device;
plus a dispatch cost per node and the fixed cost of a run. Nothing is learned, so nothing is
calibrated either: the interval is a stated prior.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.errors import VersionMismatch
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Prediction
from acesniper.predictor.cost import Work, fused_net, work
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.interface import Table
from acesniper.predictor.readings import Readings, gather
from acesniper.predictor.workloads import Suite, known_suite

LOG_SIGMA = 0.40
"""Prior standard deviation of log latency: physics alone was off by 25 to 40 % in trials."""

IMPLIED_LOG_SIGMA = 0.7
"""Added (in quadrature) as far as the time rests on probes that relatives had to fill in."""

OPAQUE_LOG_SIGMA = 1.0
"""Added (in quadrature) by the share of nodes nobody knows: custom operators, unknown shapes."""

Z90 = 1.6449
"""Half of a central 90 % interval, in standard deviations."""


class PhysicsPredictor:
    """Predicts latency from probe readings alone."""

    source = "physics-1"

    def __init__(self, suite: Suite | None = None) -> None:
        self._suite = suite or known_suite()

    def predict(self, model: ModelFeatures, device: HardwareVector) -> Prediction | None:
        """The latency, or None where the device's readings say too little."""
        self._check(model, device)
        latency, low, high = (float(each[0, 0]) for each in self.table([model], [device]))
        return None if np.isnan(latency) else Prediction(latency, low, high, self.source)

    def table(self, models: Sequence[ModelFeatures], devices: Sequence[HardwareVector]) -> Table:
        """All pairs at once. A vector of another version is NaN throughout."""
        if not models or not devices:
            empty = np.empty((len(models), len(devices)))
            return Table(empty, empty, empty)
        asked, found = work(models, self._suite), gather(devices, self._suite)
        share = sum(asked.share.values(), np.zeros((len(models), len(self._suite.probes))))
        net = fused_net(found.net_s, self._suite)
        latency = share @ net.T + np.outer(asked.nodes, found.node_s) + found.run_s
        stale = np.asarray([model.version != FEATURES_VERSION for model in models])
        latency[stale] = np.nan
        spread = np.exp(Z90 * self._log_sigma(models, share, found, latency))
        return Table(latency, latency / spread, latency * spread)

    def explain(self, model: ModelFeatures, device: HardwareVector) -> Mapping[str, float]:
        """Where the predicted time goes, in seconds per operator class, longest first."""
        self._check(model, device)
        asked, found = work([model], self._suite), gather([device], self._suite)
        parts = _parts(asked, found, self._suite)
        if any(np.isnan(seconds) for seconds in parts.values()):
            return {}
        return dict(sorted(parts.items(), key=lambda pair: -pair[1]))

    def _log_sigma(
        self,
        models: Sequence[ModelFeatures],
        share: np.ndarray,
        found: Readings,
        latency: np.ndarray,
    ) -> np.ndarray:
        """The prior spread of each prediction, shape (models, devices)."""
        implied = np.zeros_like(latency)
        if found.implied.any():
            filled = np.where(found.implied, fused_net(found.net_s, self._suite), 0.0)
            implied = share @ filled.T / latency
        opaque = np.asarray([_opaque(model) for model in models])[:, None]
        variance = LOG_SIGMA**2 + (IMPLIED_LOG_SIGMA * implied) ** 2
        return np.sqrt(variance + (OPAQUE_LOG_SIGMA * opaque) ** 2)

    def _check(self, model: ModelFeatures, device: HardwareVector) -> None:
        if model.version != FEATURES_VERSION:
            raise VersionMismatch(
                f"the model's features have version {model.version!r}, this predictor reads"
                f" {FEATURES_VERSION!r}; profile the model again"
            )
        own = (self._suite.name, self._suite.version)
        if (device.suite, device.version) != own:
            raise VersionMismatch(
                f"the device was probed with {device.suite} {device.version}, this predictor"
                f" reads {' '.join(own)}; probe it again"
            )


def default_predictor() -> PhysicsPredictor:
    """The predictor to use where none was chosen."""
    return PhysicsPredictor()


def _opaque(model: ModelFeatures) -> float:
    """The share of nodes whose work is unknown."""
    unknown = model.values.get("unknown.nodes", 0.0) + model.values.get("unshaped.nodes", 0.0)
    return min(1.0, unknown / max(1.0, float(sum(model.operators.values()))))


def _parts(asked: Work, found: Readings, suite: Suite) -> dict[str, float]:
    net = fused_net(found.net_s, suite)[0]
    parts = {name: float(share[0] @ net) for name, share in asked.share.items()}
    parts["dispatch"] = float(asked.nodes[0] * found.node_s[0])
    parts["run"] = float(found.run_s[0])
    return parts
