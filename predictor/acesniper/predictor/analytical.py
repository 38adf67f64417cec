"""The analytical predictor: a model takes what its operators take in the probes.

Per operator class: work in units of the matching probe, times that probe's time on the device; plus
a dispatch cost per node and the fixed cost of a run. The map from a model to units of probes
depends on the model alone. Nothing is learned, so nothing is calibrated: the interval is a prior.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from acesniper.domain.device import HardwareVector
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Explanation, Prediction
from acesniper.predictor.base import LatencyArrays, Observation, Observations, corrected_table
from acesniper.predictor.features import CLASSES, FEATURES_VERSION, HEAVY, class_matrix
from acesniper.predictor.out_of_distribution import OPAQUE_LOG_SIGMA, opaque_share
from acesniper.predictor.probe_matrix import (
    ProbeMatrix,
    Suite,
    check_versions,
    known_suite,
    probe_matrix,
)

FLOPS, BYTES, NODES = range(3)

CLASS_PROBES: Mapping[str, tuple[str, ...]] = {
    "stem": ("stem",),
    "conv_wide": ("conv_wide_16", "conv_wide_64"),
    "conv_deep": ("conv_deep_128", "conv_deep_512"),
    "conv1x1_wide": ("conv1x1_wide",),
    "conv1x1_deep": ("conv1x1_deep",),
    "depthwise_wide": ("depthwise_wide",),
    "depthwise_deep": ("depthwise_deep",),
    "grouped": ("grouped",),
    "conv1d": ("conv1d",),
    "convtranspose": ("convtranspose",),
    "matmul": ("matmul",),
    "gemm": ("gemm",),
    "attention": ("attention",),
    "recurrent": ("recurrent",),
    "gemv": ("gemv", "gemv_cold"),
    "fused": ("fused",),
    "elementwise": ("elementwise",),
    "norm": ("norm",),
    "softmax": ("softmax",),
    "pool": ("pool",),
    "movement": ("movement",),
    "other": ("elementwise",),
    "unknown": ("elementwise",),
}
"""The probes that speak for each class, the smaller shape first."""

FUSED_PARTNER = "matmul"
"""The same products as the probe `fused`, without its activation: the difference is the fusion."""

MIN_FUSED_SHARE = 0.02
"""A fused activation costs at least this share of its probe."""


@dataclass(frozen=True, slots=True)
class ModelWork:
    """Cost of models: `share[class]` of shape (models, probes), dispatched `nodes` (models,)."""

    share: Mapping[str, np.ndarray]
    nodes: np.ndarray


def model_work(models: Sequence[ModelFeatures], suite: Suite) -> ModelWork:
    """The work of models in units of the suite's probes."""
    totals = np.stack([class_matrix(model.values) for model in models])
    share = {
        name: _share(name, totals[:, i], suite)
        for i, name in enumerate(CLASSES)
        if totals[:, i, NODES].any()
    }
    charged = [i for i, name in enumerate(CLASSES) if name != "fused"]
    return ModelWork(share, totals[:, charged, NODES].sum(axis=1))


def net_of_fusion(net_s: np.ndarray, suite: Suite) -> np.ndarray:
    """The readings with the probe `fused` reduced to what its activation adds."""
    fused, partner = suite.index("fused"), suite.index(FUSED_PARTNER)
    result = net_s.copy()
    added = net_s[:, fused] - net_s[:, partner]
    result[:, fused] = np.maximum(added, MIN_FUSED_SHARE * net_s[:, fused])
    return result


def _share(name: str, totals: np.ndarray, suite: Suite) -> np.ndarray:
    """How many runs of each speaking probe a class of each model is worth."""
    unit = FLOPS if name in HEAVY else BYTES
    speakers = [suite.index(probe) for probe in CLASS_PROBES[name]]
    kind = [_kind_of(i, name, suite) for i in speakers]
    units = np.asarray([suite.work[i, k, unit] for i, k in zip(speakers, kind, strict=True)])
    nodes = np.asarray([suite.work[i, k, NODES] for i, k in zip(speakers, kind, strict=True)])
    amount = totals[:, unit]
    result = np.zeros((len(totals), len(suite.probes)))
    size = amount / np.maximum(totals[:, NODES], 1.0)
    result[:, speakers] = amount[:, None] * _weights(size, units / nodes) / units
    return result


def _kind_of(probe: int, name: str, suite: Suite) -> int:
    """The class in whose units a probe speaks: its own, else the one it mostly consists of."""
    own = CLASSES.index(name)
    if suite.work[probe, own, NODES] > 0:
        return own
    return int(suite.work[probe, :, BYTES].argmax())


def _weights(size: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Interpolation weights of models over one or two probes, by the log of work per node."""
    if len(known) == 1:
        return np.ones((len(size), 1))
    low, high = np.log(known)
    position = (np.log(np.maximum(size, 1.0)) - low) / (high - low)
    far = np.clip(position, 0.0, 1.0)[:, None]
    return np.hstack([1.0 - far, far])


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
