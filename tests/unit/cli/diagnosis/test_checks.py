"""What a real control plane is not easily brought to; for the rest see tests/e2e/test_doctor.py."""

from typing import Any

import pytest

from acesniper.api.crd import RESOURCES, definition
from acesniper.api.units import rfc3339
from acesniper.cli.doctor.command.checks import (
    ALL,
    clocks,
    configuration,
    definitions,
    devices,
    examine,
    extender,
    models,
    parts,
    rights,
    tasks,
    versions,
)
from acesniper.cli.doctor.command.finding import Severity
from acesniper.cli.doctor.command.rights import needed
from acesniper.cli.doctor.command.sight import Right, Sight

NOW_S = 1_800_000_000.0


def sight(version: str = "v1.36.1", **objects: list[dict[str, Any]]) -> Sight:
    return Sight(version, NOW_S, NOW_S, objects)


def workload(part: str, *images: str, **status: object) -> dict[str, Any]:
    names = {"scheduler": ("kube-scheduler", "extender")}.get(part, (part,))
    containers = [
        {"name": name, "image": image} for name, image in zip(names, images, strict=False)
    ]
    labels = {"app.kubernetes.io/component": part, "app.kubernetes.io/instance": "ours"}
    return {
        "kind": "Deployment",
        "metadata": {"name": f"ours-{part}", "namespace": "there", "labels": labels},
        "spec": {
            "replicas": 1,
            "template": {"spec": {"containers": containers, "serviceAccountName": f"ours-{part}"}},
        },
        "status": status or {"availableReplicas": 1},
    }


def healthy_parts() -> list[dict[str, Any]]:
    return [
        workload("operator", "x/operator:0.1.0"),
        workload("scheduler", "x/kube-scheduler:v1.36.1", "x/extender:0.1.0"),
    ]


def said(found: Any) -> str:  # noqa: ANN401 - findings
    return "\n".join(each.what for each in found)


def test_a_cluster_without_it_gets_one_command_and_not_a_list_of_what_is_missing() -> None:
    found = examine(sight())

    assert [each.what for each in found] == ["Ace-Sniper is not installed"]
    assert found[0].command.startswith("helm install")


def test_every_check_has_a_name_and_a_question_of_its_own() -> None:
    assert len({each.name for each in ALL}) == len({each.question for each in ALL}) == len(ALL)


def test_what_may_not_be_seen_is_a_warning_and_no_finding_of_what_is_missing() -> None:
    hidden = {kind: "no (403)" for check in ALL for kind in check.needs}

    found = examine(Sight("v1.36.1", NOW_S, NOW_S, {}, hidden))

    assert found
    assert {each.severity for each in found} == {Severity.WARNING}


def test_the_reason_of_a_pod_that_does_not_start_is_told() -> None:
    pod = {
        "metadata": {"labels": {"app.kubernetes.io/component": "operator"}, "name": "p"},
        "status": {
            "containerStatuses": [
                {
                    "name": "operator",
                    "state": {
                        "waiting": {"reason": "ImagePullBackOff", "message": "no such image"}
                    },
                }
            ]
        },
    }
    stopped = workload("operator", "x/operator:0.1.0", availableReplicas=0)

    found = said(parts.judge(sight(deployments=[stopped, healthy_parts()[1]], pods=[pod])))

    assert found == "0 of 1 pods are ready: operator ImagePullBackOff no such image"


def test_two_installations_are_one_too_many() -> None:
    found = said(parts.judge(sight(deployments=[*healthy_parts(), *healthy_parts()[1:]])))

    assert "2 installations" in found


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("docker.io/acesniper/operator:0.1.0", "0.1.0"),
        ("registry.local:5000/acesniper/operator", ""),
        ("x/operator:0.1.0@sha256:abc", ""),
    ],
)
def test_the_tag_of_an_image(image: str, tag: str) -> None:
    assert versions.tag(image) == tag


@pytest.mark.parametrize(
    ("server", "complaint"),
    [
        ("v1.36.1+k3s1", ""),
        ("v1.37.0", ""),
        ("v1.38.0", "kube-scheduler is v1.36.1"),
        ("v1.35.2", "kube-scheduler is v1.36.1"),
        ("v1.32.0", "Kubernetes is v1.32.0"),
    ],
)
def test_kube_scheduler_is_the_servers_minor_version_or_one_older(
    server: str, complaint: str
) -> None:
    assert complaint in (found := said(versions.judge(sight(server, deployments=healthy_parts()))))
    assert bool(found) is bool(complaint)


def test_our_own_definitions_have_nothing_to_find() -> None:
    ours = [definition(each) for each in RESOURCES]

    assert list(definitions.judge(sight(customresourcedefinitions=ours))) == []


def test_a_definition_that_is_being_deleted_is_found() -> None:
    ours = [definition(each) for each in RESOURCES]
    ours[1]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    found = said(definitions.judge(sight(customresourcedefinitions=ours)))

    assert found.startswith("it is being deleted")


def test_an_account_that_is_gone_is_found_before_its_next_pod_is_refused() -> None:
    there = [{"metadata": {"name": "ours-operator", "namespace": "there"}}]

    found = list(rights.judge(sight(deployments=healthy_parts(), serviceaccounts=there)))

    assert [each.where for each in found] == ["Deployment there/ours-scheduler"]
    assert "ServiceAccount ours-scheduler is not there" in found[0].what


def test_a_newer_definition_asks_for_a_newer_command() -> None:
    ours = [definition(each) for each in RESOURCES]
    schema = ours[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["colour"] = {"type": "string"}

    found = said(definitions.judge(sight(customresourcedefinitions=ours)))

    assert "newer than this command, which does not know spec.colour" in found


def test_rights_that_cannot_be_asked_are_a_warning() -> None:
    (found,) = rights.judge(Sight("v1.36.1", NOW_S, NOW_S, {}, denied=None))

    assert found.severity is Severity.WARNING


def test_rights_are_asked_of_the_account_that_each_part_runs_as() -> None:
    found = needed(sight(deployments=healthy_parts()))

    planner = "system:serviceaccount:there:ours-scheduler"
    assert Right(planner, "patch", "", "pods") in found
    assert (
        Right(planner, "patch", "coordination.k8s.io", "leases", "there", "ace-sniper-planner")
        in found
    )
    assert not any(each.account.endswith("probe") for each in found)


def test_a_configuration_that_is_no_yaml_is_told() -> None:
    config = {
        "kind": "ConfigMap",
        "metadata": {"name": "acesniper-scheduler", "namespace": "there"},
        "data": {"scheduler.yaml": "{"},
    }

    found = said(configuration.judge(sight(deployments=healthy_parts(), configmaps=[config])))

    assert found.startswith("it is not YAML")


@pytest.mark.parametrize(
    "text",
    ["profiles: hello\nextenders: [x]", "profiles: [null]\nextenders: {a: b}", "[]", "hello"],
)
def test_a_configuration_of_something_else_is_found_out(text: str) -> None:
    config = {
        "kind": "ConfigMap",
        "metadata": {"name": "acesniper-scheduler", "namespace": "there"},
        "data": {"scheduler.yaml": text},
    }

    found = said(configuration.judge(sight(deployments=healthy_parts(), configmaps=[config])))

    assert "there is no profile" in found or "something else than a configuration" in found


@pytest.mark.parametrize(("age_s", "deaf"), [(179.0, False), (181.0, True)])
def test_a_watch_is_deaf_when_one_that_was_opened_anew_heard_nothing_either(
    age_s: float, deaf: bool
) -> None:
    text = f'# HELP x\nacesniper_watch_event_age_seconds{{kind="pods"}} {age_s}\n'

    found = list(extender.judge(Sight("v1.36.1", NOW_S, NOW_S, {}, metrics=text)))

    assert [each.what for each in found] == ["it has heard nothing of pods for 3.0 min"] * deaf


@pytest.mark.parametrize(("phase", "age_s", "left"), [("", 61, 1), ("", 59, 0), ("Queued", 99, 0)])
def test_a_task_without_a_phase_for_a_minute_is_left_alone(
    phase: str, age_s: float, left: int
) -> None:
    task = {
        "metadata": {
            "name": "t",
            "namespace": "n",
            "creationTimestamp": rfc3339(NOW_S - age_s),
        },
        "status": {"phase": phase},
    }

    found = list(tasks.judge(sight(inferencetasks=[task])))

    assert len(found) == left


def test_a_model_that_is_refused_comes_with_the_operators_words() -> None:
    profile = {
        "metadata": {"name": "m", "namespace": "n", "creationTimestamp": rfc3339(NOW_S)},
        "status": {
            "conditions": [
                {"type": "Profiled", "status": "False", "reason": "TooLarge", "message": "3 GiB"}
            ]
        },
    }

    (found,) = models.judge(sight(modelprofiles=[profile]))

    assert found.what == "it cannot be used (TooLarge): 3 GiB"


@pytest.mark.parametrize(("off_s", "found"), [(4.0, 0), (-4.0, 0), (6.0, 1), (-6.0, 1)])
def test_this_machines_clock_may_be_off_by_seconds(off_s: float, found: int) -> None:
    seen = Sight("v1.36.1", NOW_S, NOW_S + off_s, {})

    assert len(list(clocks.judge(seen))) == found


def node(*taints: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "n", "labels": {"kubernetes.io/arch": "arm64"}},
        "spec": {"taints": [{"key": each, "effect": "NoSchedule"} for each in taints]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def test_a_node_that_the_probe_is_not_for_is_no_finding() -> None:
    probe = workload("probe", "x/probe:0.1.0")
    probe["spec"]["template"]["spec"]["nodeSelector"] = {"edge": "yes"}

    assert list(devices.judge(sight(daemonsets=[probe], nodes=[node()]))) == []


@pytest.mark.parametrize(
    ("taints", "complaint"),
    [
        ((), "it is not measured, and gets no task"),
        (("gpu",), "the probe does not tolerate gpu"),
        (("node-role.kubernetes.io/control-plane",), ""),
    ],
)
def test_a_node_without_a_profile_is_told_with_the_reason(
    taints: tuple[str, ...], complaint: str
) -> None:
    probe = workload("probe", "x/probe:0.1.0")

    found = said(devices.judge(sight(daemonsets=[probe], nodes=[node(*taints)])))

    assert complaint in found
    assert bool(found) is bool(complaint)
