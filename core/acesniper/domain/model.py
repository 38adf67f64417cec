"""A model as the predictor sees it: what its graph asks of a device."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
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
