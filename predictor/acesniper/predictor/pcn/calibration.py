"""How wide an interval must be, by what is known of the device: from mistakes on hidden ones."""

from collections.abc import Callable
from dataclasses import dataclass

from acesniper.predictor.pcn.crossvalidation import ALL, crossvalidate
from acesniper.predictor.pcn.dataset import Dataset
from acesniper.predictor.pcn.figures import conformal, factors
from acesniper.predictor.pcn.training import Settings


@dataclass(frozen=True, slots=True)
class Widths:
    """Factors on the deviation for a central 90 % interval.

    `new_runtime` where no platform of the device's runtime was learned from, `new_device` where one
    was, `observed` where many models were observed on the device itself.
    """

    new_runtime: float
    new_device: float
    observed: float


def calibrated(
    data: Dataset, settings: Settings, progress: Callable[[str], None] = lambda _: None
) -> Widths:
    """Hide each runtime and each platform in turn, and see what would have sufficed."""
    runtimes = list(crossvalidate(data, "runtime", (0,), settings, progress))
    platforms = list(crossvalidate(data, "platform", (0, ALL), settings, progress))
    return Widths(
        new_runtime=conformal(factors(data, runtimes, 0)),
        new_device=conformal(factors(data, platforms, 0)),
        observed=conformal(factors(data, platforms, ALL)),
    )
