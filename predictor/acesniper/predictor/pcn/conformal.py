"""Widths of intervals: factors on the predicted deviation, calibrated on hidden devices.

Split-conformal by group (Vovk, "Conditional validity of inductive conformal predictors", 2012). The
groups are levels of novelty of a device: the share of its variance that known devices explain.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

NOVELTY = ("known", "near", "far")


@dataclass(frozen=True, slots=True)
class Band:
    """Factors on the deviation: half a central 90 % interval, and the one-sided p90 and p99.

    `floor` is the least deviation, log seconds: two runs of one model differ by as much.
    """

    central90: float = 2.0
    upper90: float = 1.6
    upper99: float = 3.2
    floor: float = 0.03


@dataclass(frozen=True, slots=True)
class Calibration:
    """Bands by novelty. A device is known or near from these shares explained, else far.

    The default is wider than a normal distribution (1.64, 1.28, 2.33), as it was not measured.
    """

    version: str = "default"
    known_from: float = 0.8
    near_from: float = 0.5
    bands: Mapping[str, Band] = field(default_factory=lambda: dict.fromkeys(NOVELTY, Band()))

    def novelty(self, explained: np.ndarray) -> np.ndarray:
        """Positions in NOVELTY, shape (devices,)."""
        return np.asarray((explained < self.known_from) + 1 * (explained < self.near_from))

    def factors(self, name: str, novelty: np.ndarray) -> np.ndarray:
        """One field of the bands for each device."""
        return np.asarray(np.asarray([getattr(self.bands[n], name) for n in NOVELTY])[novelty])

    def record(self) -> dict[str, Any]:
        """What `read` takes, for JSON."""
        return asdict(self)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Calibration":
        """From a record; raises KeyError or TypeError if it is not one."""
        bands = {novelty: Band(**record["bands"][novelty]) for novelty in NOVELTY}
        return cls(record["version"], record["known_from"], record["near_from"], bands)
