"""How long runs took, in memory that does not grow: a task may have a billion of them."""

import numpy as np

MOST = 1 << 16
"""Durations that are kept, an even number; more would not tell a quantile better."""


class Durations:
    """Seconds of runs: of all of them, then of every second, every fourth and so on."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[float] = []
        self._every = 1

    def add(self, seconds: float) -> None:
        """Note one more run."""
        if self.count % self._every == 0:
            self._kept.append(seconds)
        self.count += 1
        if len(self._kept) == MOST:
            del self._kept[1::2]
            self._every *= 2

    def quantile(self, share: float) -> float:
        """The duration that so large a share of the runs stays within; there is at least one."""
        return float(np.quantile(self._kept, share))
