"""The devices in turn, for comparison."""

import numpy as np

from acesniper.policies.estimates import Floats
from acesniper.policies.placement import Lanes, TaskLanes


def round_robin_queue(choice: TaskLanes, lanes: Lanes) -> Floats:
    """How far each lane is from the one whose turn it is."""
    count = len(lanes.free_s)
    steps = (np.arange(count) - lanes.turn) % count
    return np.where(np.isfinite(choice.busy_s), steps, np.inf)
