"""Features of a model, computed from its ONNX graph."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

MAX_AMOUNT = 1e30
"""Limit of a feature and of a model's operations and bytes; no real model comes near it."""
MAX_COUNT = (1 << 63) - 1
"""Limit of sizes and counts, that of integers in the API."""


@dataclass(frozen=True)
class ModelFeatures:
    """Features of an ONNX graph for fixed input shapes and a fixed batch size.

    `values` is the named feature vector; its names and units are those of the graph reader in
    `version` (`acesniper.predictor.features`). `similar` maps known networks to a similarity in
    [0, 1], nearest first. `labels` counts the patterns of nodes, so that models can be compared
    without their graphs.
    """

    version: str
    values: Mapping[str, float]
    flops: float
    bytes_moved: float
    parameters: int
    peak_memory_bytes: int
    operators: Mapping[str, int]
    similar: Mapping[str, float]
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def distance(self) -> float:
        """Distance from the nearest known network, in [0, 1]: 1 minus the highest similarity."""
        return 1.0 - max(self.similar.values(), default=0.0)

    @cached_property
    def digest(self) -> str:
        """Identifies the features by value: equal features have equal digests.

        Without `peak_memory_bytes`, which a ModelProfile raises after an out-of-memory kill: the
        same file in another namespace is still the same model.
        """
        named = (self.values, self.operators, self.similar, self.labels)
        content = (
            self.version,
            [_canonical(total) for total in (self.flops, self.bytes_moved, self.parameters)],
            [
                sorted((name, _canonical(value)) for name, value in mapping.items())
                for mapping in named
            ],
        )
        return hashlib.sha256(repr(content).encode()).hexdigest()


def _canonical(number: float) -> float:
    """One representation for equal numbers: 1 as 1.0, -0.0 as 0.0."""
    return float(number) + 0.0
