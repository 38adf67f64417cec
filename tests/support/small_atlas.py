"""A synthetic atlas, small enough to fit a network to it in a second."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from acesniper.domain.device import HardwareVector, Reading
from acesniper.domain.model import ModelFeatures
from acesniper.predictor.analytical import PhysicsPredictor
from acesniper.predictor.features import CLASSES, FEATURE_NAMES, FEATURES_VERSION, HEAVY
from acesniper.predictor.pcn.conformal import Calibration
from acesniper.predictor.pcn.dataset import AtlasDataset, build_dataset
from acesniper.predictor.pcn.export import export
from acesniper.predictor.pcn.inputs import reference_names
from acesniper.predictor.pcn.model import Network
from acesniper.predictor.pcn.train import TrainingSettings, fit
from acesniper.predictor.probe_matrix import known_suite

SUITE = known_suite()
REFERENCES = reference_names(SUITE)
TYPICAL = dict(zip(SUITE.probes, SUITE.typical_s.tolist(), strict=True))

KINDS = {
    "conv": ("conv_wide", "conv_deep", "elementwise"),
    "mobile": ("conv1x1_wide", "depthwise_wide", "elementwise"),
    "dense": ("matmul", "gemv", "norm"),
}
"""What a family's work is of."""


def make_vector(pace: float = 1.0, odd: Mapping[str, float] | None = None) -> HardwareVector:
    """A device that takes `pace` times the typical seconds, and some probes `odd` times more."""
    times = {name: pace * value * (odd or {}).get(name, 1.0) for name, value in TYPICAL.items()}
    readings = {name: Reading(seconds, 0.01) for name, seconds in times.items()}
    return HardwareVector(SUITE.name, SUITE.version, readings)


def make_features(kinds: tuple[str, ...], scale: float = 1.0) -> ModelFeatures:
    """A model with eight nodes of each kind; at scale 1 each is 20 MFLOP or 400 kB of work."""
    values = dict.fromkeys(FEATURE_NAMES, 0.0)
    for kind in kinds:
        values[f"{kind}.nodes"] = 8.0
        values[f"{kind}.bytes"] = 3.2e6 * scale
        values[f"{kind}.flops"] = 1.6e8 * scale if kind in HEAVY else 0.0
    values["weights.bytes"] = 1e6 * scale
    return ModelFeatures(FEATURES_VERSION, values, 0.0, 0.0, 0, 0, {"Conv": 1}, {"kin": 0.7})


def reference_features() -> list[ModelFeatures]:
    """Stand-ins for the suite's networks, by what the suite says of their work."""
    collected = []
    for name in REFERENCES:
        values = dict.fromkeys(FEATURE_NAMES, 0.0)
        for kind, (flops, moved, nodes) in zip(
            CLASSES, SUITE.work[SUITE.index(name)].tolist(), strict=True
        ):
            values |= {f"{kind}.flops": flops, f"{kind}.bytes": moved, f"{kind}.nodes": nodes}
        collected.append(ModelFeatures(FEATURES_VERSION, values, 0.0, 0.0, 0, 0, {}, {}))
    return collected


@cache
def small_dataset() -> AtlasDataset:
    """Three families of four networks on six platforms of three runtimes, with noise."""
    source = np.random.default_rng(7)
    networks = [
        (f"{family}{i}", family, make_features(kinds, 2.0**i))
        for family, kinds in KINDS.items()
        for i in range(4)
    ]
    platforms = [
        (f"p{i}", f"r{i % 3}", make_vector(1.5**i, {"gemv": 1.0 + i / 4, "matmul": 1.3}), 0.03)
        for i in range(6)
    ]
    models, vectors = (
        [features for _, _, features in networks],
        [vector for _, _, vector, _ in platforms],
    )
    right = np.log(PhysicsPredictor().table(models, vectors).latency)
    log_s = right + 0.2 + source.normal(0.0, 0.1, right.shape)
    return build_dataset(networks, reference_features(), platforms, log_s, SUITE)


@cache
def small_network() -> Network:
    """Fitted just enough to be a network."""
    return fit(small_dataset(), TrainingSettings(steps=4))


def write_small(target: Path, calibration: Calibration | None = None) -> Path:
    """Export the small network."""
    export(
        small_network(), small_dataset(), target, SUITE, calibration or Calibration(), {"seed": 0}
    )
    return target
