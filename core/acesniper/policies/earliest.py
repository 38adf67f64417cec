"""The earliest completion of every waiting task, kept up to date while tasks take their places."""

from dataclasses import dataclass, field

import numpy as np

from acesniper.policies.batch import Batch
from acesniper.policies.estimates import Bools, Floats, Integers


@dataclass(slots=True, eq=False)
class EarliestFinish:
    """For each task of a batch the lane where it would finish first, and when.

    `finish_s` and `second_s` (on the next best lane) are infinite for tasks that were placed or
    cannot run.
    """

    batch: Batch
    lane: Integers = field(init=False)
    finish_s: Floats = field(init=False)
    second_s: Floats = field(init=False)
    _all_s: Floats = field(init=False)
    """Finish of every task on every lane."""
    _waits: Bools = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.batch.busy_s)
        self._all_s = self.batch.busy_s + self.batch.free_s
        self.lane = np.zeros(count, np.int64)
        self.finish_s, self.second_s = np.full(count, np.inf), np.full(count, np.inf)
        self._waits = self.batch.busy_s.min(axis=1, initial=np.inf) < np.inf
        self._look(np.flatnonzero(self._waits))

    def __bool__(self) -> bool:
        return bool(self._waits.any())

    def take(self, task: int) -> int:
        """Give a task its lane, which is busy the longer for all others; returns the lane."""
        lane = int(self.lane[task])
        free_s = self.finish_s[task]
        self._waits[task] = False
        self.finish_s[task] = self.second_s[task] = np.inf
        before_s = self._all_s[:, lane].copy()
        self._all_s[:, lane] = self.batch.busy_s[:, lane] + free_s
        touched = (self.lane == lane) | (before_s <= self.second_s)
        self._look(np.flatnonzero(touched & self._waits))
        return lane

    def _look(self, tasks: Integers) -> None:
        """Find the best two lanes of some tasks anew."""
        if not len(tasks):
            return
        finish_s = self._all_s[tasks]
        self.lane[tasks] = finish_s.argmin(axis=1)
        if finish_s.shape[1] == 1:
            self.finish_s[tasks] = finish_s[:, 0]
            return
        self.finish_s[tasks], self.second_s[tasks] = np.partition(finish_s, 1, axis=1)[:, :2].T
