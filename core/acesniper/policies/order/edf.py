"""Earliest deadline first (Liu and Layland, J. ACM 20, 1973)."""

from acesniper.policies.estimates import Floats
from acesniper.policies.order import Queue


def earliest_deadline_first(queue: Queue) -> Floats:
    """The earliest deadline first; tasks without one after all that have one."""
    return queue.slack_s
