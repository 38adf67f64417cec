import pytest

from acesniper.api.names import DECISION_ANNOTATION
from acesniper.domain.errors import InvalidInput
from acesniper.operator.cache import ObjectCache
from acesniper.runtime.watch import STALLED_AFTER_S, WatchLiveness
from builders import condition, make_itask, make_model_profile, make_pod
from virtual_time import Clock


def version(number: int) -> dict[str, str]:
    return {"resourceVersion": str(number)}


def test_an_older_version_from_the_watch_does_not_replace_a_written_one() -> None:
    store = ObjectCache()
    store.upsert_task(make_itask("t", status={"phase": "Queued"}, metadata=version(10)))

    store.upsert_task(make_itask("t", status={}, metadata=version(9)))

    assert store.tasks["default/t"].status.phase == "Queued"


def test_a_recreated_object_replaces_the_old_one_with_any_version() -> None:
    store = ObjectCache()
    store.upsert_task(make_itask("t", metadata=version(10)))

    store.upsert_task(make_itask("t", metadata={"uid": "new", **version(9)}))

    assert store.tasks["default/t"].metadata["uid"] == "new"


def test_deleting_an_old_object_keeps_its_successor() -> None:
    """Events of different objects may be handled in any order."""
    store = ObjectCache()
    old, new = make_itask("t"), make_itask("t", metadata={"uid": "new"})
    store.upsert_task(old)
    store.upsert_task(new)

    store.delete_task(old)
    kept = "default/t" in store.tasks
    store.delete_task(new)

    assert kept
    assert store.tasks == {}


def test_pods_are_found_by_the_task_that_owns_them() -> None:
    store = ObjectCache()
    store.upsert_pod(make_pod("mine", task="t"))
    store.upsert_pod(make_pod("labelled-like-mine", task="t") | {"spec": {"containers": []}})
    store.pods["default/t"]["labelled-like-mine"][1]["metadata"]["ownerReferences"] = []

    assert set(store.owned_pods("default/t", "uid-default-t")) == {"mine"}
    assert store.owned_pods("default/t", "another-uid") == {}


def test_a_pod_without_a_task_is_not_cached() -> None:
    store = ObjectCache()

    assert store.upsert_pod(make_pod(task=None)) is None
    assert store.pods == {}


def test_deleting_a_pod_returns_the_key_of_its_task() -> None:
    store = ObjectCache()
    store.upsert_pod(make_pod("p", task="t"))

    # A deletion that is found by a new list carries no labels.
    metadata = {"name": "p", "namespace": "default", "uid": "uid-default-p"}

    assert store.delete_pod({"metadata": {**metadata, "uid": "another"}}) is None
    assert store.delete_pod({"metadata": metadata}) == "default/t"
    assert store.pods == {}


def test_tasks_are_found_by_the_model_they_wait_for() -> None:
    store = ObjectCache()
    store.upsert_task(make_itask("named", model="net"))
    store.upsert_task(make_itask("inline", model=None))
    store.upsert_task(make_itask("other", model="other"))
    store.upsert_task(make_itask("done", model="net", status={"phase": "Succeeded"}))
    store.upsert_task(make_itask("elsewhere", "ns2", model="net"))

    assert store.tasks_waiting_for_model("default/net") == ["default/named", "default/inline"]
    assert store.tasks_waiting_for_model("default/net-b4-0123456789")[0] == "default/named"


def test_models_are_listed_by_namespace() -> None:
    store = ObjectCache()
    store.upsert_model(make_model_profile("m", "a"))
    store.upsert_model(make_model_profile("n", "b"))

    models = store.namespace_models("a")

    assert dict(models) == {"m": store.models["a/m"]}
    assert len(models) == 1


def test_an_invalid_object_raises_and_is_not_cached() -> None:
    store = ObjectCache()

    with pytest.raises(InvalidInput, match="InferenceTask default/t cannot be read"):
        store.upsert_task(make_itask("t", inferences=0))

    assert store.tasks == {}


def test_a_finished_task_is_compacted() -> None:
    store = ObjectCache()
    conditions = [condition("Placed", reason="Placed"), condition("Finished", reason="Succeeded")]
    status = {"phase": "Succeeded", "message": "observed 1 ms", "pod": "t-0", "attempts": 1}
    status |= {"conditions": conditions}
    key = store.upsert_task(make_itask("t", status=status, metadata=version(10)))
    pod = make_pod("t-0", task="t", phase="Succeeded", device="d", decision="{}")
    store.upsert_pod(pod)

    store.compact_task(key)

    task, ((view, manifest),) = store.tasks[key], store.pods[key].values()
    assert (task.status.phase, task.status.attempts, task.status.pod) == ("Succeeded", 1, "t-0")
    assert task.status.message is None
    assert [condition.type for condition in task.status.conditions] == ["Finished"], (
        "its time to live"
    )
    assert (view.name, view.finished, view.decision) == ("t-0", True, None)
    assert manifest["status"] == {}
    assert manifest["metadata"]["uid"] == pod["metadata"]["uid"]


def test_fields_that_are_not_used_are_not_cached() -> None:
    store = ObjectCache()
    written = {"managedFields": [{"manager": "someone"}], "resourceVersion": "1"}
    key = store.upsert_task(make_itask("t", metadata=written))
    pod = make_pod("t-0", task="t", device="d", decision="{}")
    store.upsert_pod({**pod, "spec": {**pod["spec"], "volumes": ["many"]}})

    view, kept = store.pods[key]["t-0"]
    assert "managedFields" not in store.tasks[key].metadata
    assert kept["spec"] == {"containers": pod["spec"]["containers"]}
    assert view.decision == "{}"
    assert DECISION_ANNOTATION not in kept["metadata"]["annotations"]


@pytest.mark.parametrize(("after", "expected"), [(11, ["InferenceTask"]), (10, [])])
def test_a_write_expects_an_event_only_if_it_changed_the_object(
    after: int, expected: list[str]
) -> None:
    clock = Clock()
    store = ObjectCache(liveness=WatchLiveness(clock))

    store.expect_event("InferenceTask", version(10), version(after))
    clock.now_s += STALLED_AFTER_S + 1.0

    assert store.liveness.stalled() == expected
