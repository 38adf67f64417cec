"""Operators of models, and latency as a sum of their non-negative costs.

T_d(m) = sum over operators of (a flops + b moved + w weights + n), with every coefficient zero or
more, fitted per device to the relative error. A coefficient is the sum of three: one shared by all
operators, one of their kind, one of their kind and kernel. An unseen kind costs what others do.
Coefficients are shrunk by their size per unit of work, the same for all kinds. They also give the
share of a model's time that each operator takes, averaged over the devices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

SIZES = ("flops", "read", "written", "weights", "kernel", "stride", "groups")
"""What describes an operator: multiply-accumulates or the like, elements read, written and kept as
weights, the kernel's width, the stride, the groups. 0 where it has none."""


@dataclass(frozen=True, slots=True)
class TraitOperator:
    """One operator, or `count` like it; `sizes` in the order of SIZES, of one of them."""

    kind: str
    sizes: tuple[float, ...]
    count: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """One model: its operators, and numbers that describe it as a whole."""

    operators: tuple[TraitOperator, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)

    def __or__(self, other: "ModelTraits") -> "ModelTraits":
        """Both together, where two sources describe one model."""
        return ModelTraits(self.operators + other.operators, {**self.values, **other.values})


def operator(kind: str, count: float = 1.0, **sizes: float) -> TraitOperator:
    """An operator from named sizes; those not named are 0."""
    return TraitOperator(kind, tuple(float(sizes.get(name, 0.0)) for name in SIZES), count)


@dataclass(frozen=True, slots=True, eq=False)
class OperatorCounts:
    """The distinct operators of all models.

    `kinds` (operators,) holds the index of each one's kind, `sizes` (operators, sizes) its sizes,
    `counts` (models, operators) how often each model has it.
    """

    kinds: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray


def count_operators(models: Sequence[ModelTraits]) -> OperatorCounts:
    """Gather the operators of the models, each distinct one once."""
    place: dict[tuple[str, tuple[float, ...]], int] = {}
    entries: list[tuple[int, int, float]] = []
    for row, model in enumerate(models):
        for operator in model.operators:
            column = place.setdefault((operator.kind, operator.sizes), len(place))
            entries.append((row, column, operator.count))
    counts = np.zeros((len(models), len(place)))
    for row, column, count in entries:
        counts[row, column] += count
    names = sorted({kind for kind, _ in place})
    kinds = np.array([names.index(kind) for kind, _ in place], dtype=int)
    sizes = np.array([sizes for _, sizes in place]).reshape(len(place), len(SIZES))
    return OperatorCounts(kinds, sizes, counts)


def value_matrix(models: Sequence[ModelTraits]) -> np.ndarray:
    """The plain values, shape (models, values), sorted by name; 0 where a model lacks one."""
    names = sorted({name for model in models for name in model.values})
    rows = [[model.values.get(name, 0.0) for name in names] for model in models]
    return np.array(rows).reshape(len(models), len(names))


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
    """The share of a model's time per operator, mean over devices: (models, operators)."""
    coefficients = costs.reshape(len(costs), -1, COST_MEASURES)
    charge = np.zeros((len(costs), len(models.charged)))
    for level in models.groups:
        charge += np.einsum("doi,oi->do", coefficients[:, level], models.charged)
    total = charge @ counts.T  # devices, models
    mean = (1.0 / np.maximum(total, 1e-12)).T @ charge / len(costs)
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
