"""Shortest job first (Smith, Naval Research Logistics Quarterly 3, 1956)."""

from acesniper.policies.arrays import Floats
from acesniper.policies.queue import Queue


def order(queue: Queue) -> Floats:
    """The shortest first, by what a task takes on its fastest device."""
    return queue.size_s
