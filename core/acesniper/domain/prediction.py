"""What we expect a model to take on a device."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prediction:
    """Latency of one inference (one batch): the median and a central 90 % interval, in seconds.

    `source` names the predictor and version that made it.
    """

    latency_s: float
    low_s: float
    high_s: float
    source: str
