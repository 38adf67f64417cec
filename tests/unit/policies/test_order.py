import numpy as np
import pytest

from acesniper.domain.task import Task
from acesniper.policies.order import ORDERS, Queue
from builders import make_device, make_snapshot, make_task

SNAPSHOT = make_snapshot(
    [make_device("fast"), make_device("slow")],
    {"long": {"fast": 8.0, "slow": 9.0}, "short": {"fast": 2.0, "slow": 90.0}},
    now_s=10.0,
)


def in_order(tasks: list[Task], order: str) -> list[str]:
    queue = Queue.of(tasks, SNAPSHOT)
    places = np.argsort(ORDERS[order](queue), kind="stable")
    return [queue.tasks[place].key for place in places]


@pytest.mark.parametrize("order", ORDERS)
def test_equal_tasks_are_ordered_by_name(order: str) -> None:
    tasks = [make_task(f"n/{name}") for name in "cab"]

    assert in_order(tasks, order) == ["n/a", "n/b", "n/c"]


def test_fcfs_orders_tasks_by_creation() -> None:
    late, early = make_task("n/a", created_s=2.0), make_task("n/b", created_s=1.0)

    assert in_order([late, early], "fcfs") == ["n/b", "n/a"]


def test_edf_orders_by_deadline_with_no_deadline_last() -> None:
    never = make_task("n/never", created_s=0.0)
    soon = make_task("n/soon", created_s=2.0, deadline_s=10.0)
    later = make_task("n/later", created_s=1.0, deadline_s=20.0)

    assert in_order([never, later, soon], "edf") == ["n/soon", "n/later", "n/never"]


def test_sjf_orders_by_run_time_on_the_fastest_device() -> None:
    long = make_task("n/long", "default/long", created_s=0.0)
    short = make_task("n/short", "default/short", created_s=1.0)
    many = make_task("n/many", "default/short", created_s=0.0, inferences=9)

    assert in_order([long, many, short], "sjf") == ["n/short", "n/long", "n/many"]


@pytest.mark.parametrize(
    ("created_s", "first"),
    [
        pytest.param(9.0, "n/short", id="a ratio of 5.5 to 1.5"),
        pytest.param(-40.0, "n/long", id="a ratio of 5.5 to 7.3"),
    ],
)
def test_hrrn_puts_a_long_task_first_after_a_long_wait(created_s: float, first: str) -> None:
    short = make_task("n/short", "default/short", created_s=1.0)
    long = make_task("n/long", "default/long", created_s=created_s)

    assert in_order([short, long], "hrrn")[0] == first
