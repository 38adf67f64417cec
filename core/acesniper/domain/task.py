"""Inference tasks as used by queueing and placement."""

from dataclasses import dataclass
from typing import NewType

from acesniper.domain.device import DeviceId
from acesniper.domain.scheduling_rules import NO_RULES, PodRules

TaskKey = NewType("TaskKey", str)
"""`namespace/name`, unique in the cluster."""
ModelKey = NewType("ModelKey", str)
"""`namespace/name` of a ModelProfile."""


@dataclass(frozen=True, slots=True)
class Task:
    """A finite amount of inference work.

    `created_s` and `deadline_s` are in seconds since the epoch. Empty `providers`: any. `excluded`
    are devices on which the task's pod recently failed to bind. `avoided` are devices on which
    attempts of the task failed; they are used only if no other device is feasible.
    """

    key: TaskKey
    model: ModelKey
    created_s: float
    inferences: int = 1
    providers: frozenset[str] = frozenset()
    deadline_s: float | None = None
    reject_late: bool = False
    priority: int = 0
    priority_class: str = ""
    memory_bytes: int = 0
    pod_rules: PodRules = NO_RULES
    excluded: frozenset[DeviceId] = frozenset()
    avoided: frozenset[DeviceId] = frozenset()

    @property
    def namespace(self) -> str:
        """Namespace of the task: the tenant whose share it uses."""
        return self.key.partition("/")[0]
