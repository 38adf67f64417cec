"""Batch rules: place all waiting tasks together.

A rule yields pairs (task, lane) in the order in which the tasks take their lanes; the caller may
stop early. To add a rule, write a function here and name it in `BATCHES`. The three rules are those
of Maheswaran et al., J. Parallel Distrib. Comput. 59, 1999.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from acesniper.policies.estimates import Bools, Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Waiting tasks, oldest first.

    `busy_s` of shape (tasks, lanes): how long each task would occupy each lane, infinite where it
    cannot run. `free_s` of shape (lanes,): seconds until each lane is free. `age_s` of shape
    (tasks,).
    """

    busy_s: Floats
    free_s: Floats
    age_s: Floats


def min_min(batch: Batch) -> Iterator[tuple[int, int]]:
    """Place the task with the earliest possible finish first."""
    earliest = EarliestFinish(batch)
    while earliest:
        task = int(earliest.finish_s.argmin())
        yield task, earliest.place(task)


def max_min(batch: Batch) -> Iterator[tuple[int, int]]:
    """Place the task whose earliest possible finish is the latest first."""
    earliest = EarliestFinish(batch)
    while earliest:
        finish_s = earliest.finish_s
        task = int(np.where(np.isfinite(finish_s), finish_s, -np.inf).argmax())
        yield task, earliest.place(task)


def sufferage(batch: Batch) -> Iterator[tuple[int, int]]:
    """Place the task that would lose most by taking its second best lane first."""
    earliest = EarliestFinish(batch)
    while earliest:
        waiting = np.isfinite(earliest.finish_s)
        with np.errstate(invalid="ignore"):
            loss_s = earliest.second_s - earliest.finish_s
        task = int(np.where(waiting, loss_s, -np.inf).argmax())
        yield task, earliest.place(task)


BatchRule = Callable[[Batch], Iterator[tuple[int, int]]]

BATCHES: Mapping[str, BatchRule] = MappingProxyType(
    {"max-min": max_min, "min-min": min_min, "sufferage": sufferage}
)
"""Batch rules by the name that a policy uses."""


@dataclass(slots=True, eq=False)
class EarliestFinish:
    """For each task of a batch the lane where it would finish first; updated as tasks are placed.

    `finish_s` is the finish on that lane and `second_s` on the next best lane; both are infinite
    for tasks that are placed or cannot run. True while any task is left to place.
    """

    batch: Batch
    lane: Integers = field(init=False)
    finish_s: Floats = field(init=False)
    second_s: Floats = field(init=False)
    _all_s: Floats = field(init=False)
    """Finish of every task on every lane."""
    _waiting: Bools = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.batch.busy_s)
        self._all_s = self.batch.busy_s + self.batch.free_s
        self.lane = np.zeros(count, np.int64)
        self.finish_s, self.second_s = np.full(count, np.inf), np.full(count, np.inf)
        self._waiting = self.batch.busy_s.min(axis=1, initial=np.inf) < np.inf
        self._update(np.flatnonzero(self._waiting))

    def __bool__(self) -> bool:
        return bool(self._waiting.any())

    def place(self, task: int) -> int:
        """Place a task on its best lane, which delays all others on that lane; returns the lane."""
        lane = int(self.lane[task])
        free_s = self.finish_s[task]
        self._waiting[task] = False
        self.finish_s[task] = self.second_s[task] = np.inf
        before_s = self._all_s[:, lane].copy()
        self._all_s[:, lane] = self.batch.busy_s[:, lane] + free_s
        affected = (self.lane == lane) | (before_s <= self.second_s)
        self._update(np.flatnonzero(affected & self._waiting))
        return lane

    def _update(self, tasks: Integers) -> None:
        """Recompute the best two lanes of some tasks."""
        if not len(tasks):
            return
        finish_s = self._all_s[tasks]
        self.lane[tasks] = finish_s.argmin(axis=1)
        if finish_s.shape[1] == 1:
            self.finish_s[tasks] = finish_s[:, 0]
            return
        self.finish_s[tasks], self.second_s[tasks] = np.partition(finish_s, 1, axis=1)[:, :2].T
