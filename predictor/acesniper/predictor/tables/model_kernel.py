"""Kernels between models: vectors of their operators, values and names, and their similarity.

`operators`: their time goes to similar operators: the sum over pairs of share x share x k(op, op'),
the convolution kernel of Haussler (1999) with shares of time as weights. `amounts`: similar amounts
of work per kind. `totals`: similar sums of work. `values`: near or proportional plain values.
`names`: shared character sequences of their names. Nothing in them was measured.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from acesniper.predictor.tables.operators import (
    CostDesign,
    ModelTraits,
    OperatorCounts,
    cost_design,
    count_operators,
    time_shares,
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
    design: CostDesign
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


Theta = dict[str, float]
"""Weights of the kernels and, with `_length`, their lengths in units of a standard deviation."""

INITIAL_THETA: Theta = {
    **{"operators": 0.03, "operators_length": 1.3},
    **{"amounts": 0.02, "amounts_length": 1.0, "totals": 0.02, "totals_length": 1.5},
    **{"values": 0.05, "values_length": 1.0, "proportion": 0.1},
    **{"names": 0.01, "constant": 0.01, "noise": 0.002},
}
OTHER_KIND = 0.15
"""How alike operators of different kinds are, next to those of the same kind."""


@dataclass(frozen=True, slots=True, eq=False)
class TraitsKernel:
    """The sum of the kernels, where a model's time goes to its operators by `shares`.

    `shares` is (models, operators), `apart` the squared distances between operators.
    """

    models: ModelVectors
    shares: np.ndarray
    apart: np.ndarray
    near: dict[float, np.ndarray] = field(default_factory=dict)

    def between(self, a: np.ndarray, b: np.ndarray) -> "KernelBlock":
        """For two sets of indices of models, whatever the weights will be."""
        models = self.models
        points = (models.amounts, models.totals, models.values)
        products = models.values[a] @ models.values[b].T
        names = models.names[np.ix_(a, b)]
        return KernelBlock(
            self, a, b, names, products, *(squared_distances(x[a], x[b]) for x in points)
        )

    def alone(self, theta: Theta, a: np.ndarray) -> np.ndarray:
        """Of each of these models with itself: (len(a),)."""
        total = theta["constant"] + theta["names"] * self.models.names[a, a]
        if self.shares.shape[1]:
            spread = self.spread(theta["operators_length"])
            total = total + theta["operators"] * (self.shares[a] * spread[:, a].T).sum(axis=1)
            total += theta["amounts"] + theta["totals"]
        if self.models.values.shape[1]:
            total = total + theta["values"]
            total += theta["proportion"] * (self.models.values[a] ** 2).sum(axis=1)
        return np.asarray(total)

    def spread(self, length: float) -> np.ndarray:
        """k(op, op') times the shares of every model: (operators, models); kept per length."""
        if length not in self.near:
            same = self.models.operators.kinds[:, None] == self.models.operators.kinds[None]
            alike = np.exp(-self.apart / (2 * length**2)) * np.where(same, 1.0, OTHER_KIND)
            self.near[length] = alike @ self.shares.T
        return self.near[length]


@dataclass(frozen=True, slots=True, eq=False)
class KernelBlock:
    """The kernel between two sets of models, all but its weights; arrays are (len(a), len(b)).

    `amounts`, `totals` and `values` are squared distances, `names` and `products` inner products.
    """

    kernel: TraitsKernel
    a: np.ndarray
    b: np.ndarray
    names: np.ndarray
    products: np.ndarray
    amounts: np.ndarray
    totals: np.ndarray
    values: np.ndarray

    def __call__(self, theta: Theta) -> np.ndarray:
        """The kernel with these weights."""
        total = theta["constant"] + theta["names"] * self.names
        shares = self.kernel.shares
        if shares.shape[1]:
            spread = self.kernel.spread(theta["operators_length"])
            total = total + theta["operators"] * shares[self.a] @ spread[:, self.b]
            total += theta["amounts"] * _nearness(self.amounts, theta["amounts_length"])
            total += theta["totals"] * _nearness(self.totals, theta["totals_length"])
        if self.kernel.models.values.shape[1]:
            total = total + theta["values"] * _nearness(self.values, theta["values_length"])
            total += theta["proportion"] * self.products
        return np.asarray(total)


def traits_kernel(models: ModelVectors, costs: np.ndarray) -> TraitsKernel:
    """The kernel where a model's time goes to its operators as these costs say."""
    found = time_shares(models.design, models.operators.counts, costs)
    sizes = standard(np.log1p(models.operators.sizes))
    return TraitsKernel(models, found, squared_distances(sizes, sizes))


def _nearness(apart: np.ndarray, length: float) -> np.ndarray:
    return np.asarray(np.exp(-apart / (2 * length**2)))
