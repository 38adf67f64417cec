import pytest

from acesniper.api.names import PLAN_GATE
from acesniper.api.objects import Json, PodView, merge_patch
from builders import make_gated_pod, make_pod
from fake_cluster import merged


def test_a_gated_pod_lists_the_other_gates() -> None:
    pod = make_pod(gates=["other/gate", PLAN_GATE], task="t", model="m")

    view = PodView.of(pod)

    assert (view.gated, view.other_gates) == (True, ("other/gate",))
    assert (view.key, view.task, view.model) == ("default/pod", "t", "m")


def test_a_pod_with_only_another_gate_is_not_gated() -> None:
    assert not PodView.of(make_pod(gates=["other/gate"])).gated


def test_bind_time_is_the_condition_transition_or_else_the_start_time() -> None:
    pod = make_pod(node="n", started="1970-01-01T00:00:10Z")
    without_condition = PodView.of(pod)
    pod["status"]["conditions"] = [
        {"type": "Ready", "status": "False"},
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:00:07Z"},
    ]

    assert (without_condition.bound_s, PodView.of(pod).bound_s) == (10.0, 7.0)
    assert PodView.of(make_pod(started="1970-01-01T00:00:10Z")).bound_s is None


def test_a_pod_is_finished_once_succeeded_or_failed() -> None:
    finished = {
        phase: PodView.of(make_pod(phase=phase)).finished for phase in ("Running", "Failed")
    }

    assert finished == {"Running": False, "Failed": True}
    assert PodView.of(make_pod(phase="Succeeded")).finished


def test_slots_are_summed_over_containers() -> None:
    pod = make_pod(slots=2)
    pod["spec"]["containers"] += [pod["spec"]["containers"][0], {"name": "sidecar"}]

    assert PodView.of(pod).slots == 4


def test_slots_accept_a_quantity_with_a_suffix() -> None:
    assert PodView.of(make_pod(slots="1k")).slots == 1000


def test_a_minimal_pod_is_read_with_defaults() -> None:
    metadata = {"name": "p", "namespace": "n", "uid": "u"}

    view = PodView.of({"metadata": metadata, "spec": {"containers": [{"name": "c"}]}})

    assert (view.phase, view.task, view.model, view.node, view.slots) == (
        "Pending",
        None,
        None,
        None,
        0,
    )
    assert not view.deleting
    assert PodView.of(make_gated_pod(deleting=True)).deleting


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        pytest.param({"a": 1}, {"a": 1}, {}, id="no change"),
        pytest.param({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}, id="values set"),
        pytest.param({"a": 1, "b": 2}, {"b": 2}, {"a": None}, id="value removed"),
        pytest.param(
            {"m": {"x": 1, "y": 2}},
            {"m": {"y": 2}},
            {"m": {"x": None}},
            id="value removed from a map",
        ),
        pytest.param({"l": [1, 2]}, {"l": [2]}, {"l": [2]}, id="lists are replaced"),
        pytest.param({"m": None}, {"m": {"x": 1}}, {"m": {"x": 1}}, id="map instead of null"),
    ],
)
def test_a_merge_patch_turns_the_old_object_into_the_new_one(
    before: Json, after: Json, patch: Json
) -> None:
    assert merge_patch(before, after) == patch
    assert merged(before, patch) == after
