"""Min-Min (Maheswaran et al., J. Parallel Distrib. Comput. 59, 1999)."""

from collections.abc import Iterator

from acesniper.policies.batch import Batch, EarliestFinish


def min_min(batch: Batch) -> Iterator[tuple[int, int]]:
    """Of all tasks, the one that can finish first takes its place first."""
    earliest = EarliestFinish(batch)
    while earliest:
        task = int(earliest.finish_s.argmin())
        yield task, earliest.take(task)
