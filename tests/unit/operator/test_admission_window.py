from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acesniper.operator.admission_window import (
    QUOTA_BACKOFF,
    REJECTION_BACKOFF,
    RETRIES_PER_S,
    SPARE_TASKS,
    AdmissionWindow,
    RejectionBackoff,
)
from acesniper.operator.cache import ObjectCache
from acesniper.operator.queue_order import queue_order
from acesniper.policies.policy import Policy, rule_names
from builders import (
    make_device_profile,
    make_gated_pod,
    make_itask,
    make_model_profile,
    make_node,
    make_pod,
    make_task,
)


def make_window(size: int, *names: str) -> AdmissionWindow:
    store = ObjectCache()
    for second, name in enumerate(names):
        created = f"1970-01-01T00:00:{second:02}Z"
        store.upsert_task(make_itask(name, metadata={"creationTimestamp": created}))
    return AdmissionWindow(store, size)


def inside(window: AdmissionWindow) -> set[str]:
    return {key.removeprefix("default/") for key in window.store.tasks if key in window}


def finish(window: AdmissionWindow, name: str) -> None:
    metadata = {"resourceVersion": "2"}
    window.store.upsert_task(make_itask(name, status={"phase": "Running"}, metadata=metadata))


def test_few_tasks_are_all_in_the_window() -> None:
    window = make_window(3, "a", "b")

    assert inside(window) == {"a", "b"}


def test_of_many_tasks_the_first_are_in_the_window() -> None:
    window = make_window(2, "a", "b", "c")

    assert window.refresh(0.0) == {"default/a", "default/b"}
    assert inside(window) == {"a", "b"}


def test_the_window_moves_on_when_a_task_is_placed() -> None:
    window = make_window(2, "a", "b", "c", "d")
    window.refresh(0.0)

    finish(window, "a")

    assert window.refresh(0.0) == {"default/c"}
    assert window.refresh(0.0) == set()


def test_a_task_that_enters_because_others_are_deleted_is_requeued() -> None:
    window = make_window(2, "a", "b", "c")
    window.refresh(0.0)

    del window.store.tasks["default/a"]

    assert window.refresh(0.0) == {"default/c"}


def test_suspended_tasks_take_no_place() -> None:
    window = make_window(1, "b")
    window.store.upsert_task(make_itask("a", suspend=True))

    assert window.refresh(0.0) == {"default/b"}


def test_the_window_has_two_tasks_for_each_slot_and_some_up_to_its_limit() -> None:
    window = make_window(1000)
    bare = window.size
    window.store.nodes["n"] = {"status": make_node(slots=30)["status"]}
    window.refresh(0.0)

    assert (bare, window.size) == (SPARE_TASKS, 60 + SPARE_TASKS)
    assert make_window(7).size == 7


def test_priorities_go_first_and_long_waiting_tasks_before_them() -> None:
    window = make_window(2, "a", "b", "c")
    window.store.priorities["high"] = 100
    metadata = {"creationTimestamp": "1970-01-01T00:00:09Z"}
    window.store.upsert_task(make_itask("d", metadata=metadata, priorityClassName="high"))

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
        window.store.upsert_task(make_itask(name, metadata=metadata, inferences=inferences))

    window.refresh(0.0)

    assert inside(window) == {"b"}


def test_a_namespace_without_quota_leaves_the_window_to_others() -> None:
    window = make_window(2, "a", "b", "c")
    window.store.upsert_pod(make_gated_pod("a-0", task="a"))
    window.store.upsert_task(make_itask("other", "elsewhere"))
    window.store.upsert_task(make_itask("another", "elsewhere"))

    first_s, most_s = QUOTA_BACKOFF.first_s, QUOTA_BACKOFF.max_s

    window.quota_exceeded("elsewhere", 0.0)
    without = window.refresh(0.5 * first_s)
    window.quota_exceeded("default", 0.5 * first_s)
    others = window.refresh(first_s)
    window.refresh(3 * most_s)

    assert without == {"default/a", "default/b"}
    assert others == {"elsewhere/another"}, "and a, which has its pod"
    assert inside(window) == {"a", "elsewhere/another"}


def test_in_a_namespace_without_quota_only_tasks_with_a_pod_are_in_the_window() -> None:
    window = make_window(100, "a", "b", "c")
    window.store.upsert_pod(make_gated_pod("a-0", task="a"))
    window.store.upsert_task(make_itask("other", "elsewhere"))

    window.quota_exceeded("default", 0.0)

    assert inside(window) == {"a", "elsewhere/other"}


def test_a_task_whose_attempt_has_ended_waits_for_quota_like_any_other() -> None:
    window = make_window(2, "a", "b")
    window.store.upsert_pod(make_pod("a-0", task="a", node="n", phase="Failed"))
    window.refresh(0.0)

    window.quota_exceeded("default", 0.0)

    assert inside(window) == set()
    assert window.refresh(QUOTA_BACKOFF.max_s) == {"default/a", "default/b"}


@pytest.mark.parametrize("why", ["full", "refused"])
def test_a_rejected_task_enters_the_window_again_as_new(
    why: str,
) -> None:
    window = make_window(2, "a")
    window.refresh(0.0)

    if why == "full":
        window.quota_exceeded("default", 0.0)
    else:
        window.pod_rejected("default/a", 0.0)

    assert window.refresh(100.0) == {"default/a"}


def test_a_namespace_without_quota_backs_off_until_one_of_its_pods_ends() -> None:
    window = make_window(1, "a")
    first_s, most_s = QUOTA_BACKOFF.first_s, QUOTA_BACKOFF.max_s
    tried_s, now_s = [], 0.0
    while now_s < 60.0:
        if window.refresh(now_s):
            tried_s.append(now_s)
            window.quota_exceeded("default", now_s)
        now_s += 0.5 * first_s
    pauses_s = [after - before for before, after in pairwise(tried_s)]

    window.quota_available("default")
    window.refresh(now_s)
    window.quota_exceeded("default", now_s)
    window.refresh(now_s + 0.5 * first_s)

    assert pauses_s[0] == first_s
    assert pauses_s[-1] == most_s
    assert window.refresh(now_s + first_s) == {"default/a"}


def test_a_task_whose_pod_is_rejected_backs_off() -> None:
    window = make_window(1, "a", "b")
    window.refresh(0.0)
    first_s = REJECTION_BACKOFF.first_s

    window.pod_rejected("default/a", 0.0)
    at_once = inside(window)
    others = window.refresh(1.0)
    again = window.refresh(first_s)
    window.pod_rejected("default/a", first_s)
    window.refresh(2.0 * first_s)
    longer = inside(window)
    window.refresh(3.0 * first_s)

    assert at_once == set()
    assert others == {"default/b"}
    assert again == {"default/a"}
    assert longer == {"b"}
    assert inside(window) == {"a"}


def test_very_many_rejected_tasks_are_retried_at_a_bounded_rate() -> None:
    rejections = RejectionBackoff(REJECTION_BACKOFF)
    keys = [f"t{number}" for number in range(2000)]
    step_s, tried = 10, []

    for now_s in map(float, range(0, 3000, step_s)):
        due = set(keys) - rejections.paused(now_s)
        tried.append(len(due))
        for key in due:
            rejections.rejected(key, now_s)

    last_s = 1000
    assert sum(tried[-last_s // step_s :]) <= 1.1 * RETRIES_PER_S * last_s


def test_creating_the_pod_resets_the_back_off_of_its_task() -> None:
    window = make_window(1, "a")
    window.pod_rejected("default/a", 0.0)
    window.pod_created("default/a")

    window.pod_rejected("default/a", 0.0)

    assert window.refresh(REJECTION_BACKOFF.first_s) == {"default/a"}


def test_a_clock_that_is_set_back_ends_all_pauses() -> None:
    window = make_window(2, "a", "b", "c")
    window.quota_exceeded("default", 9000.0)
    window.pod_rejected("default/a", 9000.0)
    before = window.refresh(9000.1)

    assert before == set()
    assert window.refresh(0.0) == {"default/a", "default/b"}


@given(
    tasks=st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9)), max_size=30),
    name=st.sampled_from(rule_names()),
)
def test_every_task_has_one_position_with_any_policy(
    tasks: list[tuple[int, int]], name: str
) -> None:
    made = [
        make_task(f"default/t{number}", inferences=inferences, created_s=float(created_s))
        for number, (inferences, created_s) in enumerate(tasks)
    ]

    turns = queue_order(made, {}, Policy(name), 10.0)

    assert sorted(turns) == sorted(task.key for task in made)


def make_fleet() -> ObjectCache:
    """Two nodes with a device each, of which one is not ready, and two models."""
    store = ObjectCache()
    store.upsert_node(make_node("n"))
    store.upsert_node(make_node("away", labels={"away": "yes"}, ready=False))
    for node in ("n", "away"):
        profile = make_device_profile(node, node)
        profile["status"]["memoryBytes"] = 1000
        store.upsert_device(profile)
    for name, memory_bytes in (("model", 100), ("large", 2000)):
        model = make_model_profile(name)
        model["status"]["peakMemoryBytes"] = memory_bytes
        store.upsert_model(model)
    return store


def add_task(store: ObjectCache, number: int, name: str, **spec: Any) -> None:  # noqa: ANN401 - any field
    metadata = {"creationTimestamp": f"1970-01-01T00:00:{number:02}Z"}
    status = {"modelProfile": spec.get("model", "model")}
    store.upsert_task(make_itask(name, metadata=metadata, status=status, **spec))


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"runtime": ["cuda"]}, id="provider"),
        pytest.param({"nodeSelector": {"disk": "fast"}}, id="label"),
        pytest.param({"model": "large"}, id="memory"),
        pytest.param({"nodeSelector": {"away": "yes"}}, id="a node that is not ready"),
    ],
)
def test_tasks_that_no_device_can_run_block_no_others(asked: dict[str, Any]) -> None:
    store = make_fleet()
    for number, name in enumerate(("stuck-1", "stuck-2", "stuck-3")):
        add_task(store, number, name, **asked)
    for number, name in enumerate(("a", "b"), start=3):
        add_task(store, number, name)
    window = AdmissionWindow(store, 2)

    window.refresh(0.0)
    first = inside(window)
    running = {"resourceVersion": "2"}
    store.upsert_task(make_itask("a", status={"phase": "Running"}, metadata=running))
    window.refresh(10.0)

    assert first == {"a", "b"}
    assert inside(window) == {"b", "stuck-1"}, "with room in the window, they enter as well"


def test_without_devices_the_first_tasks_are_in_the_window() -> None:
    store = ObjectCache()
    for number, name in enumerate(("a", "b", "c")):
        add_task(store, number, name)

    assert AdmissionWindow(store, 2).refresh(0.0) == {"default/a", "default/b"}
