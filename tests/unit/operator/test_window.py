from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acesniper.operator.store import Store
from acesniper.operator.turns import in_turn
from acesniper.operator.window import FULL_S, SPARE, Window
from acesniper.policies.policy import Policy, rule_names
from builders import (
    make_device_profile,
    make_gated_pod,
    make_itask,
    make_model_profile,
    make_node,
    make_task,
)


def make_window(size: int, *names: str) -> Window:
    store = Store()
    for second, name in enumerate(names):
        created = f"1970-01-01T00:00:{second:02}Z"
        store.take_task(make_itask(name, metadata={"creationTimestamp": created}))
    return Window(store, size)


def inside(window: Window) -> set[str]:
    return {key.removeprefix("default/") for key in window.store.tasks if key in window}


def finish(window: Window, name: str) -> None:
    metadata = {"resourceVersion": "2"}
    window.store.take_task(make_itask(name, status={"phase": "Running"}, metadata=metadata))


def test_few_tasks_are_all_inside() -> None:
    window = make_window(3, "a", "b")

    assert inside(window) == {"a", "b"}


def test_of_many_tasks_the_first_are_inside() -> None:
    window = make_window(2, "a", "b", "c")

    assert window.refresh(0.0) == {"default/a", "default/b"}
    assert inside(window) == {"a", "b"}


def test_the_window_moves_on_when_a_task_is_placed() -> None:
    window = make_window(2, "a", "b", "c", "d")
    window.refresh(0.0)

    finish(window, "a")

    assert window.refresh(0.0) == {"default/c"}
    assert window.refresh(0.0) == set()


def test_a_task_that_comes_inside_because_others_are_deleted_is_told() -> None:
    window = make_window(2, "a", "b", "c")
    window.refresh(0.0)

    del window.store.tasks["default/a"]

    assert window.refresh(0.0) == {"default/c"}


def test_suspended_tasks_take_no_place() -> None:
    window = make_window(1, "b")
    window.store.take_task(make_itask("a", suspend=True))

    assert window.refresh(0.0) == {"default/b"}


def test_the_window_has_two_tasks_for_each_slot_and_some_up_to_its_limit() -> None:
    window = make_window(1000)
    bare = window.size
    window.store.take_node(make_node("n", slots=30))
    window.refresh(0.0)

    assert (bare, window.size) == (SPARE, 60 + SPARE)
    assert make_window(7).size == 7


def test_priorities_go_first_and_long_waiting_tasks_before_them() -> None:
    window = make_window(2, "a", "b", "c")
    window.store.priorities["high"] = 100
    metadata = {"creationTimestamp": "1970-01-01T00:00:09Z"}
    window.store.take_task(make_itask("d", metadata=metadata, priorityClassName="high"))

    window.refresh(10.0)
    early = inside(window)
    window.refresh(window.policy.aging_s + 5.0)

    assert early == {"a", "d"}
    assert inside(window) == {"a", "b"}


def test_the_window_follows_the_policy() -> None:
    window = make_window(1, "a", "b", "c")
    window.policy = Policy("sjf-mct")
    for name, inferences in (("a", 9), ("b", 2), ("c", 5)):
        metadata = {"resourceVersion": "2"}
        window.store.take_task(make_itask(name, metadata=metadata, inferences=inferences))

    window.refresh(0.0)

    assert inside(window) == {"b"}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"runtime": ["cuda"]}, id="provider"),
        pytest.param({"nodeSelector": {"disk": "fast"}}, id="label"),
        pytest.param({"model": "large"}, id="memory"),
        pytest.param({"nodeSelector": {"away": "yes"}}, id="a node that is not ready"),
    ],
)
def test_what_no_device_can_run_keeps_nobody_out(asked: dict[str, Any]) -> None:
    window = make_window(2)
    store = window.store
    store.take_node(make_node("n"))
    store.take_node(make_node("away", labels={"away": "yes"}, ready=False))
    for node in ("n", "away"):
        profile = make_device_profile(node, node)
        profile["status"]["memoryBytes"] = 1000
        store.take_device(profile)
    large = make_model_profile("large")
    large["status"]["peakMemoryBytes"] = 2000
    store.take_model(large)
    for second, name in enumerate(("stuck-1", "stuck-2", "stuck-3", "a", "b")):
        metadata = {"creationTimestamp": f"1970-01-01T00:00:{second:02}Z"}
        status = {"modelProfile": asked.get("model", "model") if second < 3 else "model"}
        spec = asked if second < 3 else {}
        store.take_task(make_itask(name, metadata=metadata, status=status, **spec))

    window.refresh(0.0)
    first = inside(window)
    finish(window, "a")
    window.refresh(10.0)

    assert first == {"a", "b"}
    assert inside(window) == {"b", "stuck-1"}, "where there is room, they wait for a device, too"


def test_before_any_device_is_known_the_first_are_inside() -> None:
    window = make_window(2, "a", "b", "c")

    assert window.refresh(0.0) == {"default/a", "default/b"}


def test_a_namespace_that_may_have_no_more_pods_leaves_the_window_to_others() -> None:
    window = make_window(2, "a", "b", "c")
    window.store.take_pod(make_gated_pod("a-0", task="a"))
    window.store.take_task(make_itask("other", "elsewhere"))
    window.store.take_task(make_itask("another", "elsewhere"))

    window.is_full("elsewhere", 0.0)
    without = window.refresh(1.0)
    window.is_full("default", 1.0)
    others = window.refresh(FULL_S)
    window.refresh(3 * FULL_S)

    assert without == {"default/a", "default/b"}
    assert others == {"elsewhere/another"}, "and a, which has its pod"
    assert inside(window) == {"a", "elsewhere/another"}


@given(
    tasks=st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9)), max_size=30),
    name=st.sampled_from(rule_names()),
)
def test_every_task_has_one_turn_whatever_the_policy(
    tasks: list[tuple[int, int]], name: str
) -> None:
    made = [
        make_task(f"default/t{number}", inferences=inferences, created_s=float(created_s))
        for number, (inferences, created_s) in enumerate(tasks)
    ]

    turns = in_turn(made, {}, Policy(name), 10.0)

    assert sorted(turns) == sorted(each.key for each in made)
