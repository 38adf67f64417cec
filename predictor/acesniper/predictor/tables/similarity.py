"""Models as vectors: operators, amounts of work, plain values, pieces of names.

Nothing in them was measured. `kernel` says how alike two models are by them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acesniper.predictor.tables.operators import (
    CostDesign,
    ModelTraits,
    OperatorCounts,
    cost_design,
    count_operators,
    value_matrix,
)

PIECES = (3, 4, 5)
"""Lengths of the pieces of a name, in characters."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelVectors:
    """Every model as vectors: each array has a row per model.

    Of the names only the inner products (models, models) are kept.
    """

    operators: OperatorCounts
    cost_design: CostDesign
    amounts: np.ndarray
    totals: np.ndarray
    values: np.ndarray
    names: np.ndarray


def model_vectors(names: Sequence[str], traits: Sequence[ModelTraits]) -> ModelVectors:
    """The vectors of the models; nothing in them was measured."""
    operators = count_operators(traits)
    work, pieces = cost_design(operators), name_pieces(names)
    totals = np.log(np.maximum(operators.counts @ operators.sizes[:, :4], 0.0) + 1.0)
    return ModelVectors(
        operators,
        work,
        _scaled(np.log1p(work.amounts)),
        standard(totals),
        _scaled(_flat(value_matrix(traits))),
        pieces @ pieces.T,
    )


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between the rows of two matrices."""
    apart = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.maximum(apart, 0.0))


def standard(values: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and deviation 1."""
    if not values.size:
        return values
    return np.asarray((values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9))


def name_pieces(names: Sequence[str]) -> np.ndarray:
    """Unit vectors (models, pieces) of the pieces of each name, rare ones weighing more."""
    found = [_pieces(name) for name in names]
    counts: dict[str, int] = {}
    for pieces in found:
        for piece in pieces:
            counts[piece] = counts.get(piece, 0) + 1
    place = {piece: i for i, piece in enumerate(p for p, n in counts.items() if n > 1)}
    vectors = np.zeros((len(names), len(place)), dtype=np.float32)
    for row, pieces in enumerate(found):
        for piece in pieces & place.keys():
            vectors[row, place[piece]] = np.log(len(names) / counts[piece])
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9))


def _pieces(name: str) -> set[str]:
    text = "^" + re.sub(r"[^a-z0-9]+", "_", name.lower())
    return {text[i : i + size] for size in PIECES for i in range(len(text) - size + 1)}


def _scaled(values: np.ndarray) -> np.ndarray:
    """Standard columns without constant ones, so that a mean squared distance is 2."""
    moving = values[:, values.std(axis=0) > 0] if values.size else values
    return np.asarray(standard(moving) / np.sqrt(max(moving.shape[1], 1)))


def _flat(values: np.ndarray) -> np.ndarray:
    """Logarithms of what is an amount; flags and negative values as they are."""
    flags = ((values == 0) | (values == 1)).all(axis=0)
    amounts = (values >= 0).all(axis=0) & ~flags
    floor = np.median(np.abs(values), axis=0) * 1e-2 + 1e-9
    return np.where(amounts, np.log(np.abs(values) + floor), values)
