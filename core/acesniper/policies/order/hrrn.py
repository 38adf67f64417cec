"""Highest response ratio next (Brinch Hansen, 1971): short tasks first, but none for ever."""

import numpy as np

from acesniper.policies.estimates import Floats
from acesniper.policies.order import Queue


def highest_response_ratio_next(queue: Queue) -> Floats:
    """The largest (wait + size) / size first; nothing at all, which takes no time, before it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 1.0 + np.maximum(queue.age_s, 0.0) / queue.size_s
    return -np.nan_to_num(ratio, nan=np.inf)
