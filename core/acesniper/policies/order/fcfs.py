"""First come, first served."""

from acesniper.policies.estimates import Floats
from acesniper.policies.order import Queue


def first_come_first_served(queue: Queue) -> Floats:
    """The oldest first."""
    return -queue.age_s
