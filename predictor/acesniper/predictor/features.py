"""The names of a model's features: one place, one order, one version.

Each operator class has three features, summed over its nodes: `<class>.flops` (2 x multiply-
accumulates; light operators count none), `<class>.bytes` (read and written once, in the types of
the graph) and `<class>.nodes`. The rest are totals.
"""

from collections.abc import Mapping

import numpy as np

FEATURES_VERSION = "1"

HEAVY = (
    *("stem", "conv_wide", "conv_deep", "conv1x1_wide", "conv1x1_deep"),
    *("depthwise_wide", "depthwise_deep", "grouped", "conv1d", "convtranspose"),
    *("matmul", "gemm", "attention", "recurrent"),
)
"""Classes whose time follows their arithmetic. `wide` ones have images of 28 x 28 or more."""

LIGHT = ("gemv", "fused", "elementwise", "norm", "softmax", "pool", "movement", "other", "unknown")
"""Classes whose time follows the bytes they touch; `fused` ones vanish in most runtimes."""

FREE = "free"
"""Views and constants: no work at run time."""

CLASSES = HEAVY + LIGHT
MEASURES = ("flops", "bytes", "nodes")
TOTALS = (
    "weights.bytes",
    "activations.bytes",
    "free.nodes",
    "unshaped.nodes",
    "unbounded_loop.nodes",
    "depth.nodes",
)
FEATURE_NAMES = tuple(f"{name}.{each}" for name in CLASSES for each in MEASURES) + TOTALS


def class_matrix(values: Mapping[str, float]) -> np.ndarray:
    """The features of the classes as an array of shape (classes, 3): FLOPs, bytes, nodes."""
    rows = [[values.get(f"{name}.{each}", 0.0) for each in MEASURES] for name in CLASSES]
    return np.asarray(rows, dtype=np.float64)
