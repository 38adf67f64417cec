"""When tasks arrive: generated, or from a file.

Each pattern gives instants in seconds, in order, for a number of tasks at a mean rate.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

BURST = 20
"""Tasks that arrive at one instant in a burst."""
DAYS = 2.0
SWING = 0.8
"""The diurnal rate goes up and down by this share, so many times while the tasks arrive."""

Pattern = Callable[[int, float, np.random.Generator], np.ndarray]


def poisson(count: int, rate_per_s: float, draw: np.random.Generator) -> np.ndarray:
    """One by one, independent of each other."""
    return np.asarray(np.cumsum(draw.exponential(1.0 / rate_per_s, count)))


def bursts(count: int, rate_per_s: float, draw: np.random.Generator) -> np.ndarray:
    """Twenty at a time, the bursts independent of each other."""
    instants = poisson(-(-count // BURST), rate_per_s / BURST, draw)
    return np.repeat(instants, BURST)[:count]


def diurnal(count: int, rate_per_s: float, draw: np.random.Generator) -> np.ndarray:
    """One by one at a rate that rises and falls like a day's, for two days.

    Poisson in stretched time: the instants of a steady rate are put where the integral of the
    swinging rate reaches them (Cinlar, "Introduction to Stochastic Processes", 1975, section 4.7).
    """
    steady = poisson(count, rate_per_s, draw)
    day_s = steady[-1] / DAYS
    grid = np.linspace(0.0, 1.2 * steady[-1], 10_000)
    turn = 2 * np.pi / day_s
    reached = grid + SWING / turn * (1.0 - np.cos(turn * grid))
    return np.asarray(np.interp(steady, reached, grid))


PATTERNS: Mapping[str, Pattern] = MappingProxyType(
    {"poisson": poisson, "bursts": bursts, "diurnal": diurnal}
)
