"""Where a task goes, one task at a time: one file per rule, each with a function `cost`.

A rule gives every lane a cost for a task: the smallest wins, equals are settled by the earlier
finish, then by the lane. Where all costs are infinite the task waits. Adding a rule is one new file
here; its name, with `-` for `_`, is what people choose it by.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from zlib import crc32

from acesniper.domain.task import Task
from acesniper.policies.discovery import discovered
from acesniper.policies.estimates import Floats, Integers


@dataclass(slots=True, eq=False)
class Lanes:
    """The lanes as the plan has filled them so far; arrays of shape (lanes,).

    `free_s` are seconds until each is free, `queued` the tasks on it that have not finished, `turn`
    the number of choices ever made, `behind` how many tasks are still to be placed after this.
    """

    free_s: Floats
    queued: Integers
    turn: int = 0
    behind: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TaskLanes:
    """A task and what it would take on every lane, infinite where it cannot run.

    `misfit` is how badly each lane suits its model (`Terms.misfit`).
    """

    task: Task
    busy_s: Floats
    misfit: Floats

    @property
    def possible(self) -> bool:
        """Whether any lane can run it."""
        return bool(self.busy_s.min(initial=inf) < inf)


def stable_hash(task: Task) -> int:
    """A number drawn evenly from all integers of 32 bits; always the same for a task."""
    return crc32(task.key.encode())


Placement = Callable[[TaskLanes, Lanes], Floats]

PLACEMENTS: dict[str, Placement] = discovered(__path__, __name__, "cost")
QUEUE_PLACEMENTS = frozenset(name for name in PLACEMENTS if name.endswith("-queue"))
"""Rules that send a task to a device's own queue when it arrives, for good."""
