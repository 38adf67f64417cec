"""Stands in for the policies until they are here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from acesniper.domain.task import Task


@dataclass
class Row:
    latency_s: np.ndarray
    low_s: np.ndarray
    high_s: np.ndarray
    source: str


@dataclass
class Estimates:
    devices: Sequence
    rows: Mapping

    def __post_init__(self):
        self.able = np.where([d.schedulable for d in self.devices], 0.0, np.inf)
        self.at = {d.id: i for i, d in enumerate(self.devices)}


@dataclass
class Snapshot:
    now_s: float
    estimates: Estimates
    busy_s: Mapping


@dataclass
class Planned:
    task: Task
    device: object
    start_s: float
    busy_s: float

    @property
    def starts_now(self):
        return self.start_s <= 0


@dataclass
class Plan:
    planned: list = field(default_factory=list)


def named(name):
    return name


POLICIES = ("fcfs-mct", "fastest-free", "any-free")


def make_plan(tasks, snapshot, policy, previous=None, starting_only=False):
    est = snapshot.estimates
    free = np.zeros(len(est.devices)) + est.able
    for d, busy in snapshot.busy_s.items():
        free[est.at[d]] += sum(busy)
    plan = Plan()
    rng = np.random.default_rng(int(snapshot.now_s * 1000))
    for task in sorted(tasks, key=lambda t: (t.created_s, t.key)):
        if not (free <= 0).any():
            break
        run = task.inferences * est.rows[task.model].latency_s
        if policy == "fcfs-mct":
            at = int((free + run).argmin())
        elif policy == "fastest-free":
            at = int(np.where(free <= 0, run, np.inf).argmin())
        else:
            at = int(rng.choice(np.flatnonzero(free <= 0)))
        plan.planned.append(Planned(task, est.devices[at], free[at], run[at]))
        free[at] = max(free[at], 0) + run[at]
    return plan
