"""Kill a part at random instants of its life while tasks come in."""

import random
import time
from collections.abc import Callable

from acesniper.testbed.deployment import Deployment

LONGEST_LIFE_S = 6.0
"""A part is killed at any instant of its first seconds. Its start takes about half of them, so that
as many kills hit a start as hit work."""


def kill_at_random(
    system: Deployment,
    victim: str,
    kills: int,
    draw: random.Random,
    apply: Callable[[int], None],
) -> None:
    """Kill `victim` so many times; before kill number n, `apply(n)` brings more work.

    Returns when the part runs for good.
    """
    child = system.plane.children[victim]
    for number in range(kills):
        apply(number)
        # Not a way to wait for something: the instant is what is drawn.
        time.sleep(draw.uniform(0.0, LONGEST_LIFE_S))
        child.kill()
        child.start()
    child.wait_ready()
