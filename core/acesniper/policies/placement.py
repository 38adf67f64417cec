"""Where a task goes, given what each candidate would mean for it."""

from collections.abc import Callable, Sequence
from types import MappingProxyType

from acesniper.domain.completion import Completion

Placement = Callable[[Completion], float]
"""The cost of a candidate: smaller is better."""


def minimum_completion_time(candidate: Completion) -> float:
    """MCT (Maheswaran et al., J. Parallel Distrib. Comput. 59, 1999): finish first."""
    return candidate.finish_s


def minimum_execution_time(candidate: Completion) -> float:
    """MET (the same source): the fastest device, however long its backlog."""
    return candidate.busy_s


PLACEMENTS = MappingProxyType({"mct": minimum_completion_time, "met": minimum_execution_time})


def ranked(candidates: Sequence[Completion], placement: Placement) -> list[Completion]:
    """Candidates from best to worst; equals are settled by finish time, then by name."""
    return sorted(candidates, key=lambda each: (placement(each), each.finish_s, each.device.id))
