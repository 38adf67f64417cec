"""What is known of a model without running it: its operators and plain values."""

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

    def __or__(self, other: "Traits") -> "Traits":
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
        for each in model.operators:
            column = place.setdefault((each.kind, each.sizes), len(place))
            entries.append((row, column, each.count))
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
