"""Minimum completion time (Maheswaran et al., J. Parallel Distrib. Comput. 59, 1999)."""

from acesniper.policies.arrays import Floats
from acesniper.policies.placement import Choice, Lanes


def cost(choice: Choice, lanes: Lanes) -> Floats:
    """When the task would finish: a busy, fast device is waited for where that pays."""
    return lanes.free_s + choice.busy_s
