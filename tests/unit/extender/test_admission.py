from typing import Any

from acesniper.api.names import PLAN_GATE
from acesniper.api.objects import PodView
from acesniper.extender.admission import admission_patch
from builders import make_device, make_pod

HERE = {"key": "metadata.name", "operator": "In", "values": ["node-d1"]}


def patch_for(affinity: dict[str, Any] | None = None) -> dict[str, Any]:
    pod = make_pod(gates=["other/gate", PLAN_GATE], affinity=affinity, resource_version="7")
    return admission_patch(PodView.of(pod), make_device("d1"), {"why": "so"})


def required(patch: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    affinity = patch["spec"]["affinity"]["nodeAffinity"]
    return affinity["requiredDuringSchedulingIgnoredDuringExecution"]


def test_our_gate_opens_and_others_stay() -> None:
    assert patch_for()["spec"]["schedulingGates"] == [{"name": "other/gate"}]


def test_a_pod_that_changed_meanwhile_is_a_conflict() -> None:
    assert patch_for()["metadata"] == {"resourceVersion": "7", "annotations": {"why": "so"}}


def test_a_pod_without_affinity_gets_one_term() -> None:
    assert required(patch_for()) == {"nodeSelectorTerms": [{"matchFields": [HERE]}]}


def test_the_node_is_anded_into_every_term() -> None:
    zone = {"key": "zone", "operator": "In", "values": ["a"]}
    not_there = {"key": "metadata.name", "operator": "NotIn", "values": ["bad"]}
    terms = [{"matchExpressions": [zone]}, {"matchFields": [not_there]}]
    given = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}

    patch = patch_for({"nodeAffinity": given})

    assert required(patch)["nodeSelectorTerms"] == [
        {"matchExpressions": [zone], "matchFields": [HERE]},
        {"matchFields": [not_there, HERE]},
    ]


def test_other_affinities_are_kept_and_nothing_given_is_changed() -> None:
    given: dict[str, Any] = {
        "podAntiAffinity": {"x": 1},
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]},
    }

    patch = patch_for(given)

    affinity = patch["spec"]["affinity"]
    assert affinity["podAntiAffinity"] == {"x": 1}
    assert affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] == [
        {"weight": 1}
    ]
    assert "requiredDuringSchedulingIgnoredDuringExecution" not in given["nodeAffinity"]
