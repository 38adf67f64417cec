"""What we expect a model to take on a device."""

from collections.abc import Mapping
from dataclasses import dataclass

LEAST_S, MOST_S = 1e-9, 1e9
"""What one inference can take at all, a nanosecond to thirty years: beyond that, something else
than a latency was written, and sums and logarithms of it are no numbers any more."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Latency of one inference (one batch): the median and a central 90 % interval, in seconds.

    `source` names the predictor and version that made it.
    """

    latency_s: float
    low_s: float
    high_s: float
    source: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a prediction is what it is.

        latency = physics_s x exp(gate x (similarity + residual) + observed)

    `parts_s` are seconds per operator class, longest first, which add up to `physics_s`. The
    corrections are in log seconds; `observed` follows from what was run on the device itself. In
    [0, 1]: the gate, how well the known explain the model and the device, and `distance` from the
    nearest of the `similar` networks.
    """

    prediction: Prediction
    parts_s: Mapping[str, float]
    similarity: float = 0.0
    residual: float = 0.0
    gate: float = 1.0
    observed: float = 0.0
    model_explained: float = 0.0
    device_explained: float = 0.0
    similar: Mapping[str, float] | None = None

    @property
    def physics_s(self) -> float:
        """Seconds by the sum over operators alone."""
        return sum(self.parts_s.values())

    @property
    def distance(self) -> float:
        """How far the model is from everything known: 1 less the best likeness."""
        return 1.0 - max((self.similar or {}).values(), default=0.0)
