"""The device with the fewest tasks, for comparison: least loaded, with a queue on each device."""

import numpy as np

from acesniper.policies.estimates import Floats
from acesniper.policies.placement import Lanes, TaskLanes, stable_hash


def least_loaded_queue(choice: TaskLanes, lanes: Lanes) -> Floats:
    """The number of tasks on each lane; equals are settled by a draw, not by speed."""
    count = len(lanes.queued)
    settle = (np.arange(count) + stable_hash(choice.task)) % count / count
    return np.where(np.isfinite(choice.busy_s), lanes.queued + settle, np.inf)
