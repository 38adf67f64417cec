"""The device with the fewest tasks, for comparison: least loaded, with a queue on each device."""

import numpy as np

from acesniper.policies.arrays import Floats
from acesniper.policies.placement import Choice, Lanes, draw


def cost(choice: Choice, lanes: Lanes) -> Floats:
    """The number of tasks on each lane; equals are settled by a draw, not by speed."""
    count = len(lanes.queued)
    settle = (np.arange(count) + draw(choice.task)) % count / count
    return np.where(np.isfinite(choice.busy_s), lanes.queued + settle, np.inf)
