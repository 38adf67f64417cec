"""Max-Min (Maheswaran et al., J. Parallel Distrib. Comput. 59, 1999)."""

from collections.abc import Iterator

import numpy as np

from acesniper.policies.batch import Batch, EarliestFinish


def max_min(batch: Batch) -> Iterator[tuple[int, int]]:
    """Of the earliest finishes of all tasks, the latest takes its place first."""
    earliest = EarliestFinish(batch)
    while earliest:
        finish_s = earliest.finish_s
        task = int(np.where(np.isfinite(finish_s), finish_s, -np.inf).argmax())
        yield task, earliest.take(task)
