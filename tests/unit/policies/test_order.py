import pytest

from acesniper.domain.task import Task
from acesniper.policies.order import ORDERS, in_order
from builders import make_task


def names(tasks: list[Task]) -> list[str]:
    return [task.key for task in tasks]


@pytest.mark.parametrize("order", ORDERS)
def test_priority_comes_before_everything(order: str) -> None:
    early = make_task("n/early", created_s=0.0, deadline_s=1.0)
    urgent = make_task("n/urgent", created_s=9.0, priority=1)

    assert names(in_order([early, urgent], ORDERS[order], 10.0)) == ["n/urgent", "n/early"]


@pytest.mark.parametrize("order", ORDERS)
def test_equals_are_settled_by_name(order: str) -> None:
    tasks = [make_task(f"n/{name}") for name in "cab"]

    assert names(in_order(tasks, ORDERS[order], 0.0)) == ["n/a", "n/b", "n/c"]


def test_first_come_is_first_served() -> None:
    late, early = make_task("n/a", created_s=2.0), make_task("n/b", created_s=1.0)

    assert names(in_order([late, early], ORDERS["fcfs"], 0.0)) == ["n/b", "n/a"]


def test_the_earliest_deadline_goes_first_and_none_goes_last() -> None:
    never = make_task("n/never", created_s=0.0)
    soon = make_task("n/soon", created_s=2.0, deadline_s=10.0)
    later = make_task("n/later", created_s=1.0, deadline_s=20.0)

    assert names(in_order([never, later, soon], ORDERS["edf"], 0.0)) == [
        "n/soon",
        "n/later",
        "n/never",
    ]
