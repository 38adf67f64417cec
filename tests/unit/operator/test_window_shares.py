"""The admission window of several namespaces."""

from acesniper.api.names import PLAN_GATE
from acesniper.operator.admission_window import AdmissionWindow
from acesniper.operator.cache import ObjectCache
from acesniper.policies.shares import ShareAccounts, Shares
from builders import make_itask, make_pod


def crowded(size: int, weight: float = 1.0) -> AdmissionWindow:
    """Two hundred old tasks of one namespace and ten new ones of another."""
    store = ObjectCache()
    for namespace, count, created in (("crowd", 200, 0), ("few", 10, 30)):
        for number in range(count):
            metadata = {"creationTimestamp": f"1970-01-01T00:00:{created:02}Z"}
            store.upsert_task(make_itask(f"t{number:03}", namespace, metadata=metadata))
    return AdmissionWindow(store, size, shares=ShareAccounts(Shares({"few": weight})))


def inside(window: AdmissionWindow, namespace: str) -> int:
    return sum(key in window for key in window.store.tasks if key.startswith(f"{namespace}/"))


def test_a_namespace_with_many_tasks_does_not_fill_the_window() -> None:
    window = crowded(30)

    window.refresh(60.0)

    assert (inside(window, "crowd"), inside(window, "few")) == (20, 10)


def test_weights_decide_about_a_small_window() -> None:
    window = crowded(8, weight=3.0)

    window.refresh(60.0)

    assert (inside(window, "crowd"), inside(window, "few")) == (2, 6)


def test_without_shares_the_older_tasks_fill_the_window() -> None:
    window = crowded(30)
    window.shares = None

    window.refresh(60.0)

    assert inside(window, "few") == 0


def test_what_a_namespace_holds_counts_against_it() -> None:
    window = crowded(4)
    window.refresh(60.0)
    for number in range(3):
        task = f"f{number}"
        window.store.upsert_task(make_itask(task, "few", status={"phase": "Running"}))
        pod = make_pod(f"{task}-0", "few", task=task, node="n", uid=f"uid-{task}")
        window.store.upsert_pod(pod)

    window.refresh(62.0)

    assert inside(window, "crowd") == 4


def test_tasks_whose_pod_another_controller_holds_come_last() -> None:
    window = crowded(10)
    for number in range(10):
        pod = make_pod(f"few-{number}", "few", task=f"t{number:03}", uid=f"uid-{number}")
        pod["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}, {"name": PLAN_GATE}]
        window.store.upsert_pod(pod)

    window.refresh(60.0)

    assert (inside(window, "crowd"), inside(window, "few")) == (10, 0)
