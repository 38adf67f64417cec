"""How alike two networks are: in the patterns of their graphs, and in how their work is spread.

`structure` compares Weisfeiler-Lehman histograms (Shervashidze et al. 2011): a node's label starts
as its operator class and takes in, round by round, the labels of the nodes it reads from; two
networks are as alike as the shares of their labels overlap. `spread` compares over which operator
shapes the work goes, group by group, by Bhattacharyya's coefficient (1943). Both are kernels with
values in [0, 1], and so is `likeness`, their product.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from acesniper.domain.model import ModelFeatures
from acesniper.predictor.features import FREE
from acesniper.predictor.onnx.op_class import Classified

ROUNDS = 2
MOST_LABELS = 512
"""Rarer labels are left out, so that a huge graph has a bounded description."""

SKIPPED = (FREE, "fused")
"""Looked through: the same activation may be one node or five."""

Histogram = Mapping[str, int]


def histogram(nodes: Sequence[Classified]) -> dict[str, int]:
    """How often each label occurs, over all rounds."""
    labels = {
        i: SAME_KIND.get(each.kind, each.kind)
        for i, each in enumerate(nodes)
        if each.kind not in SKIPPED
    }
    reads = _reads(nodes)
    counts = Counter(f"0:{label}" for label in labels.values())
    for turn in range(1, ROUNDS + 1):
        labels = {
            i: _digest(label, sorted(labels[j] for j in reads[i])) for i, label in labels.items()
        }
        counts.update(f"{turn}:{label}" for label in labels.values())
    kept = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_LABELS]
    return dict(sorted(kept))


def structure(ones: Sequence[Histogram], others: Sequence[Histogram]) -> np.ndarray:
    """How far the shares of labels overlap, shape (ones, others); depth alone changes little."""
    overlap = np.zeros((len(ones), len(others)))
    left, right = _postings(ones), _postings(others)
    for label in left.keys() & right.keys():
        (rows, here), (columns, there) = left[label], right[label]
        overlap[np.ix_(rows, columns)] += np.minimum.outer(here, there)
    return overlap


def likeness(ones: Sequence[ModelFeatures], others: Sequence[ModelFeatures]) -> np.ndarray:
    """How alike models are, in [0, 1], shape (ones, others); 1 for the same model."""
    spread = spread_vectors([m.values for m in ones]) @ spread_vectors([m.values for m in others]).T
    patterns = structure([model.labels for model in ones], [model.labels for model in others])
    return np.asarray(np.clip(spread, 0.0, 1.0) * patterns)


def _postings(histograms: Sequence[Histogram]) -> dict[str, tuple[list[int], list[float]]]:
    """By label: which histograms hold it, and its share of all labels there."""
    found: defaultdict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for i, each in enumerate(histograms):
        total = sum(each.values())
        for label, count in each.items():
            rows, shares = found[label]
            rows.append(i)
            shares.append(count / total)
    return found


def _reads(nodes: Sequence[Classified]) -> dict[int, list[int]]:
    """Which nodes each node reads from, looking through views and fused operators."""
    source: dict[str, list[int]] = {}
    reads: dict[int, list[int]] = {}
    for i, each in enumerate(nodes):
        before = sorted({j for name in each.node.feeds for j in source.get(name, [])})
        reads[i] = before
        source.update(dict.fromkeys(each.node.gives, before if each.kind in SKIPPED else [i]))
    return reads


def _digest(label: str, parents: Sequence[str]) -> str:
    return hashlib.blake2s("|".join([label, *parents]).encode(), digest_size=4).hexdigest()
