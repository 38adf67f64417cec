"""A model's work in units of probes: how much of each probe's time one inference takes.

The map depends on the model alone, so that the time on a device is a sum over its probes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.features import CLASSES, HEAVY, class_matrix
from acesniper.predictor.probe_matrix import Suite

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
    speakers = [suite.index(each) for each in CLASS_PROBES[name]]
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
