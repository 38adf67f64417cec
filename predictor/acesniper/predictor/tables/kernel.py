"""How alike two models are, in five ways, each a kernel.

`operators`: their time goes to alike operators: sum over pairs of share x share x k(op, op'), the
convolution kernel of Haussler (1999) with shares of time as weights. `amounts`: alike amounts of
work per kind. `totals`: alike sums of work. `values`: alike plain values, near ones or in
proportion. `names`: shared pieces of their names, which people choose with care.
"""

from dataclasses import dataclass, field

import numpy as np

from acesniper.predictor.tables.model_kernel import ModelVectors, squared_distances, standard
from acesniper.predictor.tables.operators import time_shares

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
    time_shares: np.ndarray
    apart: np.ndarray
    near: dict[float, np.ndarray] = field(default_factory=dict)

    def between(self, a: np.ndarray, b: np.ndarray) -> "Block":
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

    traits_kernel: TraitsKernel
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
        time_shares = self.kernel.shares
        if time_shares.shape[1]:
            spread = self.kernel.spread(theta["operators_length"])
            total = total + theta["operators"] * time_shares[self.a] @ spread[:, self.b]
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
