"""Shortest job first (Smith, Naval Research Logistics Quarterly 3, 1956)."""

from acesniper.policies.estimates import Floats
from acesniper.policies.order import Queue


def shortest_job_first(queue: Queue) -> Floats:
    """The shortest first, by what a task takes on its fastest device."""
    return queue.size_s
