"""First come, first served."""

from acesniper.policies.arrays import Floats
from acesniper.policies.queue import Queue


def order(queue: Queue) -> Floats:
    """The oldest first."""
    return -queue.age_s
