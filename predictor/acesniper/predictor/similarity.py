"""How alike two networks are: Weisfeiler-Lehman histograms over typed nodes.

A node's label starts as its operator class and takes in, round by round, the labels of the nodes
it reads from. Two networks are as alike as their histograms of labels overlap.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from acesniper.predictor.features import FEATURES_VERSION, FREE
from acesniper.predictor.summary import Classified

ROUNDS = 2
KEPT = 5
"""Nearest networks reported; the rest says nothing more."""

Histogram = Mapping[str, int]


def histogram(graph: Sequence[Classified]) -> dict[str, int]:
    """How often each label occurs, over all rounds; views and constants are left out."""
    labels = {i: each.kind for i, each in enumerate(graph) if each.kind != FREE}
    reads = _reads(graph)
    counts = Counter(f"0:{label}" for label in labels.values())
    for turn in range(1, ROUNDS + 1):
        labels = {
            i: _digest(label, sorted(labels[j] for j in reads[i])) for i, label in labels.items()
        }
        counts.update(f"{turn}:{label}" for label in labels.values())
    return dict(sorted(counts.items()))


def likeness(one: Histogram, other: Histogram) -> float:
    """The overlap of two histograms over their union, in [0, 1]."""
    union = sum(max(one.get(k, 0), other.get(k, 0)) for k in one.keys() | other.keys())
    overlap = sum(min(count, other.get(label, 0)) for label, count in one.items())
    return overlap / union if union else 0.0


def nearest(graph: Sequence[Classified]) -> dict[str, float]:
    """The known networks most like this graph, nearest first."""
    own = histogram(graph)
    scores = {name: likeness(own, known) for name, known in library().items()}
    best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:KEPT]
    return {name: round(score, 4) for name, score in best if score > 0}


@cache
def library() -> Mapping[str, Histogram]:
    """The histograms of known networks; empty where they were made by another version."""
    text = (files("acesniper.predictor") / "library.json").read_text()
    content = json.loads(text)
    networks: Mapping[str, Histogram] = content["networks"]
    return networks if content["features_version"] == FEATURES_VERSION else {}


def _reads(graph: Sequence[Classified]) -> dict[int, list[int]]:
    """Which nodes each node reads from, looking through views."""
    source: dict[str, list[int]] = {}
    reads: dict[int, list[int]] = {}
    for i, each in enumerate(graph):
        before = sorted({j for name in each.node.feeds for j in source.get(name, [])})
        reads[i] = before
        source.update(dict.fromkeys(each.node.gives, before if each.kind == FREE else [i]))
    return reads


def _digest(label: str, parents: Sequence[str]) -> str:
    return hashlib.blake2s("|".join([label, *parents]).encode(), digest_size=4).hexdigest()
