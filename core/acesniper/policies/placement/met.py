"""Minimum execution time (Maheswaran et al., J. Parallel Distrib. Comput. 59, 1999)."""

from acesniper.policies.estimates import Floats
from acesniper.policies.placement import Lanes, TaskLanes


def minimum_execution_time(choice: TaskLanes, lanes: Lanes) -> Floats:
    """How long the task would run: the fastest device, however long its backlog."""
    return choice.busy_s
