"""Minimum completion time (Maheswaran et al., J. Parallel Distrib. Comput. 59, 1999)."""

from acesniper.policies.estimates import Floats
from acesniper.policies.placement import Lanes, TaskLanes


def minimum_completion_time(choice: TaskLanes, lanes: Lanes) -> Floats:
    """When the task would finish: a busy, fast device is waited for where that pays."""
    return lanes.free_s + choice.busy_s
