"""A policy: which rules decide, chosen by name, and with which limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from statistics import NormalDist
from types import MappingProxyType

from acesniper.policies.batch import BATCHES
from acesniper.policies.order import ORDERS
from acesniper.policies.placement import PLACEMENTS, QUEUE_PLACEMENTS

ORDERED_PLACEMENTS = ("mct", "met", "advantage")
"""Placements that are told with an order before them, such as `fcfs-mct`."""
NORMAL = NormalDist()
"""Of log latency around its median: what gives the interval its quantiles."""


def rule_names() -> list[str]:
    """All names a rule can be chosen by."""
    listed = [f"{order}-{placement}" for order in ORDERS for placement in ORDERED_PLACEMENTS]
    alone = [name for name in PLACEMENTS if name not in ORDERED_PLACEMENTS]
    return [*listed, *BATCHES, *alone]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What a name stands for: an order and a placement, or a batch rule."""

    name: str
    order: str = "fcfs"
    placement: str = ""
    batch: str = ""

    @classmethod
    @cache
    def named(cls, name: str) -> "RuleSet":
        """The rules of a name such as `fcfs-mct`, `min-min` or `any-free`.

        Raises:
            ValueError: nothing has that name; says what has one.
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
    """How to plan.

    `name` chooses the rules; `classes` those of single priority classes. A task that has waited
    for `aging_s` seconds goes before all that have not, whatever its priority, first come first
    served: the bound that keeps tasks from starving. A deadline counts as met where it
    is with the probability `deadline_quantile`, by the prediction's interval.
    `explore_share` of the tasks without a deadline go, among devices where they would finish
    within `explore_within` of the earliest finish, to the one whose prediction is least certain. A
    batch rule looks at the first `batch_size` waiting tasks; a decision keeps the best
    `candidates_kept` devices.
    """

    name: str = "fcfs-advantage"
    classes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    aging_s: float = 600.0
    deadline_quantile: float = 0.9
    explore_share: float = 0.0
    explore_within: float = 0.1
    batch_size: int = 512
    candidates_kept: int = 3

    def __post_init__(self) -> None:
        for name in (self.name, *self.classes.values()):
            RuleSet.named(name)
        if not 0.0 < self.deadline_quantile < 1.0:
            raise ValueError(f"deadline_quantile is not between 0 and 1: {self.deadline_quantile}")

    @property
    def deadline_reach(self) -> float:
        """That quantile as a step from the median (0) to the 90 % interval's upper end (1)."""
        return NORMAL.inv_cdf(self.deadline_quantile) / NORMAL.inv_cdf(0.95)

    @property
    def keeps_devices(self) -> bool:
        """Whether any rule sends tasks to a device's own queue for good, when they arrive."""
        names = (self.name, *self.classes.values())
        return any(RuleSet.named(name).placement in QUEUE_PLACEMENTS for name in names)

    def rules_for(self, priority_class: str) -> RuleSet:
        """The rules for tasks of a priority class."""
        return RuleSet.named(self.classes.get(priority_class, self.name))


DEFAULT_POLICY = Policy()


def policy_by_name(name: str) -> Policy:
    """The policy of that name, with everything else at its default.

    Raises:
        ValueError: nothing has that name.
    """
    return Policy(name)
