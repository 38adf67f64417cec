"""Over which operator shapes a network's work goes, as unit vectors whose products are a kernel.

Needs features alone, no graph: what serves predictions can do without a reader.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from acesniper.predictor.features import CLASSES, FEATURE_NAMES, MEASURES, SPREADS

SAME_KIND = {"gemm": "matmul"}
"""Exporters and optimisers choose freely between these."""


def spread_vectors(values: Sequence[Mapping[str, float]]) -> np.ndarray:
    """Unit vectors whose products are the spread kernel, shape (models, bins)."""
    rows = [[each.get(name, 0.0) for name in FEATURE_NAMES] for each in values]
    matrix = np.asarray(rows, dtype=float).reshape(len(values), len(FEATURE_NAMES))
    for name, other in SAME_KIND.items():
        for measure in MEASURES:
            matrix[:, POSITION[f"{other}.{measure}"]] += matrix[:, POSITION[f"{name}.{measure}"]]
            matrix[:, POSITION[f"{name}.{measure}"]] = 0.0
    columns = np.hstack([_roots(matrix[:, group]) for group in GROUPS])
    return np.asarray(columns / np.sqrt(len(GROUPS)))


def _roots(amounts: np.ndarray) -> np.ndarray:
    """Square roots of shares; a last column stands for "nothing of this kind"."""
    total = amounts.sum(axis=1, keepdims=True)
    shares = amounts / np.where(total > 0, total, 1.0)
    return np.asarray(np.sqrt(np.hstack([shares, total <= 0])))


def _groups() -> tuple[np.ndarray, ...]:
    """The columns of features that share out one amount: a measure of classes, or a spread."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for measure in MEASURES:
        groups[measure] = [f"{name}.{measure}" for name in CLASSES]
    for each in SPREADS:
        groups[each.name].extend(each.features)
    return tuple(np.asarray([POSITION[name] for name in group]) for group in groups.values())


POSITION = {name: i for i, name in enumerate(FEATURE_NAMES)}
GROUPS = _groups()
