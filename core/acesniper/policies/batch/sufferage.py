"""Sufferage (Maheswaran et al., J. Parallel Distrib. Comput. 59, 1999)."""

from collections.abc import Iterator

import numpy as np

from acesniper.policies.batch import Batch, EarliestFinish


def sufferage(batch: Batch) -> Iterator[tuple[int, int]]:
    """The task that would lose most by its second best device takes its place first."""
    earliest = EarliestFinish(batch)
    while earliest:
        waits = np.isfinite(earliest.finish_s)
        with np.errstate(invalid="ignore"):
            loss_s = earliest.second_s - earliest.finish_s
        task = int(np.where(waits, loss_s, -np.inf).argmax())
        yield task, earliest.take(task)
