"""A device drawn evenly, for comparison."""

import numpy as np

from acesniper.policies.estimates import Floats
from acesniper.policies.placement import Lanes, TaskLanes, stable_hash


def random_queue(choice: TaskLanes, lanes: Lanes) -> Floats:
    """One of the lanes that can run the task."""
    able = np.flatnonzero(np.isfinite(choice.busy_s))
    costs = np.full(len(lanes.free_s), np.inf)
    if len(able):
        costs[able[stable_hash(choice.task) % len(able)]] = 0.0
    return costs
