"""Policies: a named set of rules and the limits that it is applied with."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from math import inf
from statistics import NormalDist
from types import MappingProxyType

from acesniper.domain.task import Task
from acesniper.policies.batch import BATCHES
from acesniper.policies.order import ORDERS
from acesniper.policies.placement import PLACEMENTS, QUEUE_PLACEMENTS

ORDERED_PLACEMENTS = ("mct", "met", "advantage")
"""Placements that are named with an order before them, such as `fcfs-mct`."""
AGED_RULES = "fcfs-mct"
"""Rules for tasks that have waited for `aging_s`."""
NORMAL = NormalDist()
"""Assumed distribution of the log latency around its median."""


def rule_names() -> list[str]:
    """All valid names of rule sets."""
    with_order = [f"{order}-{placement}" for order in ORDERS for placement in ORDERED_PLACEMENTS]
    alone = [name for name in PLACEMENTS if name not in ORDERED_PLACEMENTS]
    return [*with_order, *BATCHES, *alone]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of a policy name: an order and a placement, or a batch rule."""

    name: str
    order: str = "fcfs"
    placement: str = ""
    batch: str = ""

    @classmethod
    @cache
    def named(cls, name: str) -> "RuleSet":
        """The rules of a name such as `fcfs-mct`, `min-min` or `any-free`.

        Raises:
            ValueError: the name is unknown; the message lists the valid names.
        """
        if name in BATCHES:
            return cls(name, batch=name)
        if name in PLACEMENTS:
            return cls(name, placement=name)
        order, _, placement = name.partition("-")
        if order in ORDERS and placement in PLACEMENTS:
            return cls(name, order, placement)
        raise ValueError(f"policy {name!r} is unknown; use one of {', '.join(rule_names())}")


@dataclass(frozen=True, slots=True)
class Policy:
    """Parameters of a plan.

    `name` selects the rules, `classes` those of single priority classes. Tasks that have waited for
    `aging_s` go before all others, whatever their priority, in order of creation; this bounds
    starvation. A device meets a deadline if it does so with probability `deadline_quantile`, by the
    prediction's interval. `explore_share` of the tasks without a deadline explore: among the
    devices whose finish is within `explore_within` of the earliest one, they go to the device whose
    prediction is least certain. A batch rule places the first `batch_size` waiting tasks at a time.
    A decision keeps the best `candidates_kept` devices. No task runs on a device where its
    inferences are predicted to take longer than `max_run_s`.
    """

    name: str = "fcfs-advantage"
    classes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    aging_s: float = 600.0
    deadline_quantile: float = 0.9
    explore_share: float = 0.0
    explore_within: float = 0.1
    batch_size: int = 512
    candidates_kept: int = 3
    max_run_s: float = inf

    def __post_init__(self) -> None:
        for name in (self.name, *self.classes.values()):
            RuleSet.named(name)
        if not 0.0 < self.deadline_quantile < 1.0:
            raise ValueError(f"deadline_quantile is not between 0 and 1: {self.deadline_quantile}")

    @property
    def deadline_reach(self) -> float:
        """The quantile on a scale from the median (0) to the upper end of the 90 % interval (1)."""
        return NORMAL.inv_cdf(self.deadline_quantile) / NORMAL.inv_cdf(0.95)

    @property
    def keeps_devices(self) -> bool:
        """Whether any rule assigns arriving tasks to a device's own queue, where they stay."""
        names = (self.name, *self.classes.values())
        return any(RuleSet.named(name).placement in QUEUE_PLACEMENTS for name in names)

    def rules_for(self, priority_class: str) -> RuleSet:
        """The rules for tasks of a priority class."""
        return RuleSet.named(self.classes.get(priority_class, self.name))

    def is_aged(self, task: Task, now_s: float) -> bool:
        """Whether a task has waited so long that it goes before all that have not."""
        return now_s - task.created_s >= self.aging_s

    def groups(self, tasks: Iterable[Task], now_s: float) -> Iterator[tuple[RuleSet, list[Task]]]:
        """Tasks that are planned together, with their rules: aged tasks first, then by priority."""

        def group_key(task: Task) -> tuple[bool, int, str]:
            if self.is_aged(task, now_s):
                return False, 0, ""
            return True, -task.priority, task.priority_class

        for key, group in groupby(sorted(tasks, key=group_key), group_key):
            is_young, _, priority_class = key
            yield (
                self.rules_for(priority_class) if is_young else RuleSet.named(AGED_RULES),
                list(group),
            )


DEFAULT_POLICY = Policy()


def policy_by_name(name: str) -> Policy:
    """The policy of a name, with all other parameters at their defaults.

    Raises:
        ValueError: the name is unknown.
    """
    return Policy(name)
