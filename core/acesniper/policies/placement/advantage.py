"""Comparative advantage: every device does what it is relatively best at (ours; ADR 0010).

Minimum completion time lets a task take a fast device that another task needs more: one that runs
the first task ten times as fast as others, but the second a hundred times. What a device gives up
by taking a task is known before the others come: how badly it suits the task's model.
"""

import numpy as np

from acesniper.policies.estimates import Floats
from acesniper.policies.placement import Lanes, TaskLanes

STRENGTH = 4.0
"""How steeply a run on an unsuitable device is counted as longer, in powers of the misfit."""
LIMIT = 1.0
"""A run is never counted as more than e times, or less than 1/e of, what it is."""


def comparative_advantage(choice: TaskLanes, lanes: Lanes) -> Floats:
    """Wait x (1 + r) + run x r^(4 x crowd), with r how badly a device suits the model.

    Where all devices suit alike (r = 1) the wait counts twice and the run once. The more tasks are
    still to be placed, up to one for every lane, the more a device is left to those it suits.
    """
    crowd = min(1.0, lanes.behind / max(len(lanes.free_s), 1))
    price = np.exp(crowd * np.clip(STRENGTH * choice.misfit, -LIMIT, LIMIT))
    return lanes.free_s * (1.0 + np.exp(choice.misfit)) + choice.busy_s * price
