"""Physics: latency as a sum of non-negative costs of operators.

T_d(m) = sum over operators of (a flops + b moved + w weights + n), every coefficient zero or more,
fitted per device to the relative error. A coefficient is the sum of three: one that all operators
share, one of their kind, one of their kind and kernel. A kind that was never seen costs what others
do. Coefficients are drawn to zero by their size per unit of work, the same for all kinds, so that
what moves little cannot be made to cost much. They also say which operators a model's time goes to,
on average over the devices: its shares.
"""

from dataclasses import dataclass

import numpy as np

from acesniper.predictor.tables.operators import SIZES, OperatorCounts

DESCENT_SWEEPS = 80
SHARED_SHRINKAGE = 0.1
"""How much less the coefficients that all operators share are drawn to zero."""

COST_MEASURES = 4

MAX_COST_MODELS = 400
"""Models that coefficients are fitted on at most."""


@dataclass(frozen=True, slots=True, eq=False)
class CostDesign:
    """What every model is charged for.

    `groups` (3, operators) says which coefficients an operator has at each level, `charged`
    (operators, measures) what it is charged for, `amounts` (models, groups x measures) the sums.
    """

    groups: np.ndarray
    charged: np.ndarray
    amounts: np.ndarray


def cost_design(operators: OperatorCounts) -> CostDesign:
    """Sums of the measures over all operators, per kind, and per kind and kernel."""
    charged = operator_measures(operators)
    groups, count = _coefficient_groups(operators)
    amounts = np.zeros((len(operators.counts), count, COST_MEASURES))
    for group in range(count):
        at = np.flatnonzero((groups == group).any(axis=0))
        amounts[:, group] = operators.counts[:, at] @ charged[at]
    return CostDesign(groups, charged, amounts.reshape(len(amounts), -1))


def operator_measures(operators: OperatorCounts) -> np.ndarray:
    """What an operator is charged for: arithmetic, movement, weights, itself; (operators, 4)."""
    sizes = {name: operators.sizes[:, i] for i, name in enumerate(SIZES)}
    moved = sizes["read"] + sizes["written"]
    return np.stack([sizes["flops"], moved, sizes["weights"], np.ones(len(moved))], axis=1)


def fit_costs(amounts: np.ndarray, log_ms: np.ndarray, ridge: float) -> np.ndarray:
    """Coefficients (devices, columns) >= 0 from amounts (models, columns) and ln ms.

    `log_ms` is (devices, models), NaN where unknown. `ridge` draws coefficients to zero, in units
    of the largest column's sum of squares. Coordinate descent over all devices at once.
    """
    some = np.sort(np.random.default_rng(0).permutation(len(amounts))[:MAX_COST_MODELS])
    amounts, log_ms = amounts[some], log_ms[:, some]
    measured = np.isfinite(log_ms)
    inverse = np.where(measured, np.exp(-np.where(measured, log_ms, 0.0)), 0.0)
    scale = _measure_scale(amounts)
    used = np.flatnonzero(amounts.max(axis=0, initial=0.0) > 0)
    relative = (amounts / scale).T[used][:, None] * inverse[None]  # columns, devices, models
    squares = (relative**2).sum(axis=2)
    drawn = (
        ridge
        * squares.max(axis=0, initial=0.0)
        * np.where(used < COST_MEASURES, SHARED_SHRINKAGE, 1.0)[:, None]
    )
    found = np.zeros((len(used), len(log_ms)))
    left = measured.astype(float)
    for _ in range(DESCENT_SWEEPS):
        for i, column in enumerate(relative):
            pull = (column * left).sum(axis=1) - drawn[i] * found[i]
            moved = np.maximum(found[i] + pull / (squares[i] + drawn[i] + 1e-30), 0.0) - found[i]
            found[i] += moved
            left -= column * moved[:, None]
    costs = np.zeros((len(log_ms), amounts.shape[1]))
    costs[:, used] = found.T
    return np.asarray(costs / scale)


def time_shares(models: CostDesign, counts: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """What part of a model's time each operator takes, mean over devices: (models, operators)."""
    coefficients = costs.reshape(len(costs), -1, COST_MEASURES)
    each = np.zeros((len(costs), len(models.charged)))
    for level in models.groups:
        each += np.einsum("doi,oi->do", coefficients[:, level], models.charged)
    total = each @ counts.T  # devices, models
    mean = (1.0 / np.maximum(total, 1e-12)).T @ each / len(costs)
    found = mean * counts
    return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12))


def _measure_scale(amounts: np.ndarray) -> np.ndarray:
    """One scale per measure, whatever the kind: the largest sum over all operators."""
    largest = amounts.max(axis=0, initial=0.0).reshape(-1, COST_MEASURES).max(axis=0, initial=0.0)
    return np.tile(np.maximum(largest, 1e-30), amounts.shape[1] // COST_MEASURES)


def _coefficient_groups(operators: OperatorCounts) -> tuple[np.ndarray, int]:
    """The groups of each level, and how many; the last group is an empty one.

    A kind with one kernel has no third level: its operators are in the empty group there.
    """
    kinds, kernels = operators.kinds, operators.sizes[:, SIZES.index("kernel")]
    pairs = sorted({(int(k), float(w)) for k, w in zip(kinds, kernels, strict=True)})
    several = {pair for pair in pairs if sum(pair[0] == other[0] for other in pairs) > 1}
    first = 1 + int(kinds.max(initial=-1)) + 1
    place = {pair: first + i for i, pair in enumerate(sorted(several))}
    count = first + len(place) + 1
    third = [place.get((int(k), float(w)), count - 1) for k, w in zip(kinds, kernels, strict=True)]
    return np.array([np.zeros(len(kinds), dtype=int), 1 + kinds, np.array(third, dtype=int)]), count
