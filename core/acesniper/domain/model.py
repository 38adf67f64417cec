"""A model as the predictor sees it: what its graph asks of a device."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class ModelFeatures:
    """What one pass over an ONNX graph found, for fixed input shapes and batch.

    `values` is the named feature vector; its names and units are those of the graph reader in
    `version` (`acesniper.predictor.features`). `similar` maps known networks to a likeness in
    [0, 1], nearest first. `labels` says how often which pattern of nodes occurs, so that models can
    be compared without their graphs.
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
        """How far from everything known, in [0, 1]: 1 less the best likeness."""
        return 1.0 - max(self.similar.values(), default=0.0)

    @cached_property
    def digest(self) -> str:
        """Identifies the graph by what was read of it: equal features have equal digests.

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
