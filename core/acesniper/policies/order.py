"""Whose turn it is: the order in which waiting tasks are planned."""

from collections.abc import Callable, Iterable
from types import MappingProxyType

from acesniper.domain.task import Task

Key = tuple[float, ...]
Order = Callable[[Task, float], Key]
"""A task's sort key at a point in time: smaller goes first."""


def first_come(task: Task, now_s: float) -> Key:
    """First come, first served, within a priority."""
    return (-task.priority, task.created_s)


def earliest_deadline(task: Task, now_s: float) -> Key:
    """Earliest deadline first; tasks without one after those with one."""
    deadline_s = task.deadline_s if task.deadline_s is not None else float("inf")
    return (-task.priority, deadline_s, task.created_s)


ORDERS = MappingProxyType({"fcfs": first_come, "edf": earliest_deadline})


def in_order(tasks: Iterable[Task], order: Order, now_s: float) -> list[Task]:
    """Sort tasks by `order`; equals are settled by name, so that every part sees one order."""
    return sorted(tasks, key=lambda task: (order(task, now_s), task.key))
