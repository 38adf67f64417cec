"""Placement rules: which lane a single task gets.

A rule gives every lane a cost for a task; the lane with the smallest cost wins. Ties go to the
earlier finish, then to the lower lane number. A task whose costs are all infinite keeps waiting.
To add a rule, write a function here and name it in `PLACEMENTS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from zlib import crc32

import numpy as np

from acesniper.domain.task import Task
from acesniper.policies.estimates import Floats, Integers

MISFIT_EXPONENT = 4.0
"""Power of the misfit by which a run on an unsuitable device counts as longer."""
MAX_LOG_PRICE = 1.0
"""A run counts as at most e times, and at least 1/e times, its duration."""


@dataclass(slots=True, eq=False)
class Lanes:
    """The lanes as the plan has filled them so far; arrays of shape (lanes,).

    `free_s` are the seconds until each lane is free, `queued` the unfinished tasks on it. `turn` is
    the number of choices made so far, `behind` the number of tasks still to be placed.
    """

    free_s: Floats
    queued: Integers
    turn: int = 0
    behind: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TaskLanes:
    """A task and how long it would occupy each lane; infinite where it cannot run.

    `misfit` is the model's misfit on each lane (`LaneTerms.misfit`).
    """

    task: Task
    busy_s: Floats
    misfit: Floats

    @property
    def possible(self) -> bool:
        """Whether any lane can run the task."""
        return bool(self.busy_s.min(initial=inf) < inf)


def stable_hash(task: Task) -> int:
    """A 32-bit integer that is uniformly distributed over tasks and constant for each task."""
    return crc32(task.key.encode())


def minimum_completion_time(choice: TaskLanes, lanes: Lanes) -> Floats:
    """When the task would finish; waits for a busy, fast device where that is earlier.

    Maheswaran et al., J. Parallel Distrib. Comput. 59, 1999.
    """
    return lanes.free_s + choice.busy_s


def minimum_execution_time(choice: TaskLanes, lanes: Lanes) -> Floats:
    """How long the task would run: the fastest device, whatever its backlog.

    Maheswaran et al., J. Parallel Distrib. Comput. 59, 1999.
    """
    return choice.busy_s


def comparative_advantage(choice: TaskLanes, lanes: Lanes) -> Floats:
    """Wait x (1 + r) + run x r^(4 x crowd), with r the misfit of the device for the model.

    Minimum completion time lets a task take a fast device that other tasks need more: one that
    runs this model ten times as fast as other devices, but another model a hundred times as fast.
    This rule prices that opportunity cost before the other tasks arrive (ADR 0010).

    Where all devices suit the model equally (r = 1) the wait counts twice and the run once. `crowd`
    grows to 1 with the tasks still to be placed per lane: the more of them, the more a device is
    left to the models that suit it.
    """
    crowd = min(1.0, lanes.behind / max(len(lanes.free_s), 1))
    log_price = np.clip(MISFIT_EXPONENT * choice.misfit, -MAX_LOG_PRICE, MAX_LOG_PRICE)
    price = np.exp(crowd * log_price)
    return lanes.free_s * (1.0 + np.exp(choice.misfit)) + choice.busy_s * price


def any_free(choice: TaskLanes, lanes: Lanes) -> Floats:
    """Baseline: a random free lane, as the stock scheduler places pods on nodes with free slots."""
    free = np.flatnonzero((lanes.free_s <= 0.0) & np.isfinite(choice.busy_s))
    costs = np.full(len(lanes.free_s), np.inf)
    if len(free):
        costs[free[stable_hash(choice.task) % len(free)]] = 0.0
    return costs


def fastest_free(choice: TaskLanes, lanes: Lanes) -> Floats:
    """Baseline: the fastest of the free lanes; never waits for a busy one."""
    return np.where(lanes.free_s <= 0.0, choice.busy_s, np.inf)


def least_loaded_queue(choice: TaskLanes, lanes: Lanes) -> Floats:
    """Baseline: the lane with the fewest tasks; ties are broken by hash, not by speed."""
    count = len(lanes.queued)
    tie_break = (np.arange(count) + stable_hash(choice.task)) % count / count
    return np.where(np.isfinite(choice.busy_s), lanes.queued + tie_break, np.inf)


def random_queue(choice: TaskLanes, lanes: Lanes) -> Floats:
    """Baseline: a random lane that can run the task."""
    feasible = np.flatnonzero(np.isfinite(choice.busy_s))
    costs = np.full(len(lanes.free_s), np.inf)
    if len(feasible):
        costs[feasible[stable_hash(choice.task) % len(feasible)]] = 0.0
    return costs


def round_robin_queue(choice: TaskLanes, lanes: Lanes) -> Floats:
    """Baseline: the lanes in rotation."""
    count = len(lanes.free_s)
    steps = (np.arange(count) - lanes.turn) % count
    return np.where(np.isfinite(choice.busy_s), steps, np.inf)


Placement = Callable[[TaskLanes, Lanes], Floats]

PLACEMENTS: Mapping[str, Placement] = MappingProxyType(
    {
        "advantage": comparative_advantage,
        "any-free": any_free,
        "fastest-free": fastest_free,
        "least-loaded-queue": least_loaded_queue,
        "mct": minimum_completion_time,
        "met": minimum_execution_time,
        "random-queue": random_queue,
        "round-robin-queue": round_robin_queue,
    }
)
"""Placement rules by the name that a policy uses."""
QUEUE_PLACEMENTS = frozenset(name for name in PLACEMENTS if name.endswith("-queue"))
"""Rules that assign an arriving task to a device's own queue, where it stays."""
