"""The fastest of the free devices, for comparison: knows latencies, but never waits for one."""

import numpy as np

from acesniper.policies.estimates import Floats
from acesniper.policies.placement import Lanes, TaskLanes


def fastest_free(choice: TaskLanes, lanes: Lanes) -> Floats:
    """How long the task would run, on free lanes only."""
    return np.where(lanes.free_s <= 0.0, choice.busy_s, np.inf)
