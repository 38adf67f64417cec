"""Earliest deadline first (Liu and Layland, J. ACM 20, 1973)."""

from acesniper.policies.arrays import Floats
from acesniper.policies.queue import Queue


def order(queue: Queue) -> Floats:
    """The earliest deadline first; tasks without one after all that have one."""
    return queue.slack_s
