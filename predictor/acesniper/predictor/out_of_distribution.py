"""Additional uncertainty for models unlike those that intervals were calibrated with.

Calibration hides families of the atlas, whose distance from the rest is hardly ever more than
FOREIGN_FROM. Models beyond that distance, or with operators that no probe covers, get wider
intervals.
"""

from math import hypot

from acesniper.domain.model import ModelFeatures

OPAQUE_LOG_SIGMA = 1.0
"""Added (in quadrature) by the share of nodes with unknown work."""

FOREIGN_FROM = 0.75
"""Among the hidden families of the atlas mistakes were as expected up to this distance."""

FOREIGN_LOG_SIGMA = 0.6
"""Added (in quadrature) for a model that is like none, and less for one nearer to FOREIGN_FROM. Of
35 graphs of one to six odd operators beyond that, 28 then took as long as their interval says on
onnxruntime, 16 without it, 31 with 1.0, which would say too little of the others."""


def opaque_share(model: ModelFeatures) -> float:
    """The share of nodes whose work is unknown: custom and rare operators, unknown shapes."""
    named = ("unknown.nodes", "unshaped.nodes", "other.nodes")
    unknown = sum(model.values.get(name, 0.0) for name in named)
    return min(1.0, unknown / max(1.0, float(sum(model.operators.values()))))


def foreign_share(model: ModelFeatures) -> float:
    """From 0 (within the calibrated distance) to 1 (unlike any network); 0 if not compared."""
    if not model.similar:
        return 0.0
    return max(0.0, model.distance - FOREIGN_FROM) / (1.0 - FOREIGN_FROM)


def own_log_sigma(model: ModelFeatures) -> float:
    """What is uncertain about this model alone, until it has run."""
    opaque, foreign = opaque_share(model), foreign_share(model)
    return hypot(OPAQUE_LOG_SIGMA * opaque, FOREIGN_LOG_SIGMA * foreign)
