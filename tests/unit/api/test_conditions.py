from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from acesniper.api.reasons import ConditionType, Reason
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import (
    Condition,
    InferenceTaskStatus,
    condition_is_true,
    find_condition,
    with_condition,
)
from acesniper.domain.foreign_text import MAX_MESSAGE_CHARS


def ready(is_true: bool, now_s: float, previous: list[Condition] | None = None) -> list[Condition]:
    return with_condition(
        previous or [], ConditionType.READY, is_true, Reason.MEASURED, "message", now_s
    )


def test_a_condition_keeps_its_transition_time_while_its_status_stays() -> None:
    first = ready(True, 10.0)

    second = ready(True, 20.0, first)

    assert second == first


def test_a_status_change_updates_the_transition_time() -> None:
    first = ready(True, 10.0)

    second = ready(False, 20.0, first)

    assert second[0].last_transition_time == "1970-01-01T00:00:20.000Z"


def test_other_conditions_are_unchanged() -> None:
    both = with_condition(
        ready(True, 10.0), ConditionType.STALE, False, Reason.PROFILE_CURRENT, "", 20.0
    )

    assert [condition.type for condition in both] == ["Ready", "Stale"]
    assert condition_is_true(both, "Ready")
    assert not condition_is_true(both, "Stale")


def test_a_missing_condition_is_not_true() -> None:
    assert find_condition([], "Ready") is None
    assert not condition_is_true([], "Ready")


def test_conditions_keep_their_order() -> None:
    """A new order would change the status and cause another write and reconcile."""
    first = with_condition([], ConditionType.READY, True, Reason.MEASURED, "", 1.0)
    both = with_condition(first, ConditionType.STALE, True, Reason.PROFILE_EXPIRED, "", 1.0)

    assert with_condition(both, ConditionType.READY, True, Reason.MEASURED, "", 2.0) == both


@pytest.mark.parametrize(
    "when",
    [
        "0000-01-01T00:00:00Z",
        "2026-01-01T00:00:00-24:00",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01t00:00:00z",
        "now",
    ],
)
def test_an_invalid_transition_time_is_rejected(when: str) -> None:
    """The OpenAPI format date-time accepts all but the last."""
    with pytest.raises(ValidationError):
        Condition(type="Ready", status="True", reason="R", last_transition_time=when)


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_valid_transition_time_is_accepted(when: datetime) -> None:
    written = Condition(
        type="Ready", status="True", reason="R", last_transition_time=when.isoformat()
    )

    assert epoch_s(written.last_transition_time) == when.timestamp()


def test_a_message_is_written_as_one_short_printable_line() -> None:
    quoted = "tag \x1b[31mv1\n" * 300_000

    conditions = with_condition(
        [], ConditionType.HEALTHY, False, Reason.IMAGE_PULL_FAILED, quoted, 1.0
    )
    task = InferenceTaskStatus(message=quoted, conditions=conditions)

    written = task.model_dump(by_alias=True, mode="json")
    for message in (written["message"], written["conditions"][0]["message"]):
        assert message.isprintable()
        assert len(message) == MAX_MESSAGE_CHARS
