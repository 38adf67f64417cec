"""Similarity of networks, and the known networks that a model is compared with.

`likeness` is the product of two kernels with values in [0, 1]:

- `structure` compares Weisfeiler-Lehman histograms of the graphs (Shervashidze et al. 2011; see
  `onnx.feature_extraction.histogram`) by the overlap of their label shares;
- the spread kernel compares how the work is distributed over operator classes and shapes, group by
  group, by Bhattacharyya's coefficient (1943).

Works on features alone and needs no graph, so that serving predictions does not need `onnx`.
"""

import json
import lzma
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import numpy as np

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.features import CLASSES, FEATURE_NAMES, FEATURES_VERSION, MEASURES, SPREADS

LIBRARY_FILE = "library.json.xz"
"""Features of the known networks; written by `python -m acesniper.predictor.atlas.networks`."""

NEAREST_KEPT = 5
"""Number of nearest networks reported for a model."""

SAME_KIND = {"gemm": "matmul"}
"""Operator classes that exporters and optimisers use interchangeably."""

DISTANCE_WORDS = ((0.15, "known"), (0.45, "near"), (0.65, "far"))
FOREIGN = "foreign"
"""Words for distances up to a bound. Half of the atlas's networks have a relative within 0.09; with
a network's own family left out, half have one within 0.44 and nine in ten within 0.66."""

Histogram = Mapping[str, int]


@cache
def known_networks() -> Mapping[str, ModelFeatures]:
    """Known networks by name; empty if the library has another version of the features."""
    packed = (files("acesniper.predictor") / LIBRARY_FILE).read_bytes()
    content = json.loads(lzma.decompress(packed))
    if content["features_version"] != FEATURES_VERSION:
        return {}
    return {
        name: ModelFeatures(FEATURES_VERSION, **entry)
        for name, entry in content["networks"].items()
    }


def nearest(model: ModelFeatures) -> dict[str, float]:
    """Likeness of the known networks most like a model, nearest first."""
    networks = known_networks()
    if not networks:
        return {}
    (scores,) = likeness([model], list(networks.values()))
    ranked = sorted(zip(networks, scores, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return {name: round(float(score), 4) for name, score in ranked[:NEAREST_KEPT] if score > 0}


def distance_word(distance: float) -> str:
    """Word for a model's distance from the nearest known network."""
    return next((word for bound, word in DISTANCE_WORDS if distance <= bound), FOREIGN)


def likeness(ones: Sequence[ModelFeatures], others: Sequence[ModelFeatures]) -> np.ndarray:
    """Likeness of models in [0, 1], shape (ones, others); 1 for the same model."""
    spread = spread_vectors([m.values for m in ones]) @ spread_vectors([m.values for m in others]).T
    patterns = structure([model.labels for model in ones], [model.labels for model in others])
    return np.asarray(np.clip(spread, 0.0, 1.0) * patterns)


def structure(ones: Sequence[Histogram], others: Sequence[Histogram]) -> np.ndarray:
    """Overlap of the label shares, shape (ones, others); depth alone changes it little."""
    overlap = np.zeros((len(ones), len(others)))
    left, right = _postings(ones), _postings(others)
    for label in left.keys() & right.keys():
        (rows, row_shares), (columns, column_shares) = left[label], right[label]
        overlap[np.ix_(rows, columns)] += np.minimum.outer(row_shares, column_shares)
    return overlap


def _postings(histograms: Sequence[Histogram]) -> dict[str, tuple[list[int], list[float]]]:
    """By label: indices of the histograms that contain it, and its share of all labels there."""
    postings: defaultdict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for i, histogram in enumerate(histograms):
        total = sum(histogram.values())
        for label, count in histogram.items():
            rows, shares = postings[label]
            rows.append(i)
            shares.append(count / total)
    return postings


def spread_vectors(values: Sequence[Mapping[str, float]]) -> np.ndarray:
    """Unit vectors whose inner products are the spread kernel, shape (models, bins)."""
    rows = [[features.get(name, 0.0) for name in FEATURE_NAMES] for features in values]
    matrix = np.asarray(rows, dtype=float).reshape(len(values), len(FEATURE_NAMES))
    for name, other in SAME_KIND.items():
        for measure in MEASURES:
            matrix[:, POSITION[f"{other}.{measure}"]] += matrix[:, POSITION[f"{name}.{measure}"]]
            matrix[:, POSITION[f"{name}.{measure}"]] = 0.0
    columns = np.hstack([_share_roots(matrix[:, group]) for group in GROUPS])
    return np.asarray(columns / np.sqrt(len(GROUPS)))


def _share_roots(amounts: np.ndarray) -> np.ndarray:
    """Square roots of shares; the last column is 1 for models with nothing in the group."""
    total = amounts.sum(axis=1, keepdims=True)
    shares = amounts / np.where(total > 0, total, 1.0)
    return np.asarray(np.sqrt(np.hstack([shares, total <= 0])))


def _groups() -> tuple[np.ndarray, ...]:
    """Columns of the features that divide up one amount: a measure of the classes, or a spread."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for measure in MEASURES:
        groups[measure] = [f"{name}.{measure}" for name in CLASSES]
    for spread in SPREADS:
        groups[spread.name].extend(spread.features)
    return tuple(np.asarray([POSITION[name] for name in group]) for group in groups.values())


POSITION = {name: i for i, name in enumerate(FEATURE_NAMES)}
GROUPS = _groups()
