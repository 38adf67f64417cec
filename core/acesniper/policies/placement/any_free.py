"""Any free device, for comparison: what the stock scheduler does where every node has slots."""

import numpy as np

from acesniper.policies.estimates import Floats
from acesniper.policies.placement import Lanes, TaskLanes, stable_hash


def any_free(choice: TaskLanes, lanes: Lanes) -> Floats:
    """One of the free lanes, drawn evenly; none while all are busy."""
    free = np.flatnonzero((lanes.free_s <= 0.0) & np.isfinite(choice.busy_s))
    costs = np.full(len(lanes.free_s), np.inf)
    if len(free):
        costs[free[stable_hash(choice.task) % len(free)]] = 0.0
    return costs
