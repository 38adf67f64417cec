"""Any free device, for comparison: what the stock scheduler does where every node has slots."""

import numpy as np

from acesniper.policies.arrays import Floats
from acesniper.policies.placement import Choice, Lanes, draw


def cost(choice: Choice, lanes: Lanes) -> Floats:
    """One of the free lanes, drawn evenly; none while all are busy."""
    free = np.flatnonzero((lanes.free_s <= 0.0) & np.isfinite(choice.busy_s))
    costs = np.full(len(lanes.free_s), np.inf)
    if len(free):
        costs[free[draw(choice.task) % len(free)]] = 0.0
    return costs
