"""Conditions by the Kubernetes API conventions."""

from collections.abc import Sequence
from typing import Literal

from acesniper.api.reasons import ConditionType, Reason
from acesniper.api.units import rfc3339
from acesniper.api.v1alpha1.schema import Condition


def find_condition(conditions: Sequence[Condition], kind: str) -> Condition | None:
    """The condition of a type."""
    return next((condition for condition in conditions if condition.type == kind), None)


def condition_is_true(conditions: Sequence[Condition], kind: str) -> bool:
    """Whether a condition exists and has the status True."""
    condition = find_condition(conditions, kind)
    return condition is not None and condition.status == "True"


def with_condition(
    conditions: Sequence[Condition],
    kind: ConditionType,
    holds: bool,
    reason: Reason,
    message: str,
    now_s: float,
    generation: int | None = None,
) -> list[Condition]:
    """The conditions with one set; its transition time moves only when its status does."""
    status: Literal["True", "False"] = "True" if holds else "False"
    before = find_condition(conditions, kind)
    since = before.last_transition_time if before and before.status == status else rfc3339(now_s)
    changed = Condition(
        type=kind.value,
        status=status,
        reason=reason.value,
        message=message,
        last_transition_time=since,
        observed_generation=generation,
    )
    if before is None:
        return [*conditions, changed]
    # In its place: the same conditions in another order would be another status to write.
    return [changed if old.type == kind else old for old in conditions]
