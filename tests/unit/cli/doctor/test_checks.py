"""Cases that are hard to create on a real control plane; tests/e2e/test_doctor.py has others."""

from collections.abc import Iterable
from typing import Any

import pytest

from acesniper.api.crd import RESOURCES, definition
from acesniper.api.units import rfc3339
from acesniper.cli.doctor.access_checks import check_permissions
from acesniper.cli.doctor.activity_checks import check_clocks, check_tasks, check_watches
from acesniper.cli.doctor.checks import CHECKS, run_checks
from acesniper.cli.doctor.compatibility_checks import (
    check_definitions,
    check_versions,
    image_tag,
)
from acesniper.cli.doctor.component_checks import (
    check_components,
    check_scheduler_configuration,
)
from acesniper.cli.doctor.findings import Finding, Severity
from acesniper.cli.doctor.inventory import Inventory, Permission
from acesniper.cli.doctor.permissions import required_permissions
from acesniper.cli.doctor.profile_checks import check_devices, check_models

NOW_S = 1_800_000_000.0


def inventory(version: str = "v1.36.1", **objects: list[dict[str, Any]]) -> Inventory:
    return Inventory(version, NOW_S, NOW_S, objects)


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


def problems(findings: Iterable[Finding]) -> str:
    return "\n".join(finding.what for finding in findings)


def test_without_an_installation_the_only_finding_is_how_to_install() -> None:
    findings = run_checks(inventory())

    assert [finding.what for finding in findings] == ["Ace-Sniper is not installed"]
    assert findings[0].command.startswith("helm install")


def test_names_and_claims_of_checks_are_unique() -> None:
    assert (
        len({check.name for check in CHECKS})
        == len({check.claim for check in CHECKS})
        == len(CHECKS)
    )


def test_checks_of_objects_that_may_not_be_listed_are_warnings() -> None:
    hidden = {kind: "no (403)" for check in CHECKS for kind in check.needs}

    findings = run_checks(Inventory("v1.36.1", NOW_S, NOW_S, {}, hidden))

    assert findings
    assert {finding.severity for finding in findings} == {Severity.WARNING}


def test_the_reason_why_a_pod_does_not_start_is_reported() -> None:
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

    findings = problems(
        check_components(inventory(deployments=[stopped, healthy_parts()[1]], pods=[pod]))
    )

    assert findings == "0 of 1 pods are ready: operator ImagePullBackOff no such image"


def test_two_installations_are_reported() -> None:
    findings = problems(
        check_components(inventory(deployments=[*healthy_parts(), *healthy_parts()[1:]]))
    )

    assert "2 installations" in findings


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("docker.io/acesniper/operator:0.1.0", "0.1.0"),
        ("registry.local:5000/acesniper/operator", ""),
        ("x/operator:0.1.0@sha256:abc", ""),
    ],
)
def test_the_tag_of_an_image_is_parsed(image: str, tag: str) -> None:
    assert image_tag(image) == tag


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
    assert complaint in (
        result := problems(check_versions(inventory(server, deployments=healthy_parts())))
    )
    assert bool(result) is bool(complaint)


def test_our_own_definitions_have_no_problems() -> None:
    ours = [definition(resource) for resource in RESOURCES]

    assert list(check_definitions(inventory(customresourcedefinitions=ours))) == []


def test_a_definition_that_is_being_deleted_is_reported() -> None:
    ours = [definition(resource) for resource in RESOURCES]
    ours[1]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    findings = problems(check_definitions(inventory(customresourcedefinitions=ours)))

    assert findings.startswith("it is being deleted")


def test_a_missing_service_account_is_reported() -> None:
    there = [{"metadata": {"name": "ours-operator", "namespace": "there"}}]

    findings = list(
        check_permissions(inventory(deployments=healthy_parts(), serviceaccounts=there))
    )

    assert [finding.where for finding in findings] == ["Deployment there/ours-scheduler"]
    assert "ServiceAccount ours-scheduler does not exist" in findings[0].what


def test_a_newer_definition_requires_a_newer_command() -> None:
    ours = [definition(resource) for resource in RESOURCES]
    schema = ours[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["colour"] = {"type": "string"}

    findings = problems(check_definitions(inventory(customresourcedefinitions=ours)))

    assert "newer than this command, which does not know spec.colour" in findings


def test_permissions_that_cannot_be_asked_for_are_a_warning() -> None:
    (result,) = check_permissions(Inventory("v1.36.1", NOW_S, NOW_S, {}, denied=None))

    assert result.severity is Severity.WARNING


def test_permissions_are_required_of_the_account_of_each_component() -> None:
    permissions = required_permissions(inventory(deployments=healthy_parts()))

    planner = "system:serviceaccount:there:ours-scheduler"
    assert Permission(planner, "patch", "", "pods") in permissions
    assert (
        Permission(planner, "patch", "coordination.k8s.io", "leases", "there", "ace-sniper-planner")
        in permissions
    )
    assert not any(permission.account.endswith("probe") for permission in permissions)


def test_a_configuration_that_is_not_yaml_is_reported() -> None:
    config = {
        "kind": "ConfigMap",
        "metadata": {"name": "acesniper-scheduler", "namespace": "there"},
        "data": {"scheduler.yaml": "{"},
    }

    findings = problems(
        check_scheduler_configuration(inventory(deployments=healthy_parts(), configmaps=[config]))
    )

    assert findings.startswith("scheduler.yaml is not valid YAML")


@pytest.mark.parametrize(
    "text",
    ["profiles: hello\nextenders: [x]", "profiles: [null]\nextenders: {a: b}", "[]", "hello"],
)
def test_a_configuration_of_another_kind_is_reported(text: str) -> None:
    config = {
        "kind": "ConfigMap",
        "metadata": {"name": "acesniper-scheduler", "namespace": "there"},
        "data": {"scheduler.yaml": text},
    }

    findings = problems(
        check_scheduler_configuration(inventory(deployments=healthy_parts(), configmaps=[config]))
    )

    assert "there is no profile" in findings or "is not a KubeSchedulerConfiguration" in findings


@pytest.mark.parametrize(("age_s", "stalled"), [(179.0, False), (181.0, True)])
def test_a_watch_without_events_for_three_minutes_is_stalled(age_s: float, stalled: bool) -> None:
    text = f'# HELP x\nacesniper_watch_event_age_seconds{{kind="pods"}} {age_s}\n'

    findings = list(check_watches(Inventory("v1.36.1", NOW_S, NOW_S, {}, metrics=text)))

    assert [finding.what for finding in findings] == [
        "its watch for pods is stalled: no events for 3.0 min"
    ] * stalled


@pytest.mark.parametrize(("phase", "age_s", "count"), [("", 61, 1), ("", 59, 0), ("Queued", 99, 0)])
def test_a_task_without_a_phase_for_a_minute_is_reported(
    phase: str, age_s: float, count: int
) -> None:
    task = {
        "metadata": {
            "name": "t",
            "namespace": "n",
            "creationTimestamp": rfc3339(NOW_S - age_s),
        },
        "status": {"phase": phase},
    }

    findings = list(check_tasks(inventory(inferencetasks=[task])))

    assert len(findings) == count


def test_a_rejected_model_is_reported_with_the_operators_message() -> None:
    profile = {
        "metadata": {"name": "m", "namespace": "n", "creationTimestamp": rfc3339(NOW_S)},
        "status": {
            "conditions": [
                {"type": "Profiled", "status": "False", "reason": "TooLarge", "message": "3 GiB"}
            ]
        },
    }

    (result,) = check_models(inventory(modelprofiles=[profile]))

    assert result.what == "it cannot be used (TooLarge): 3 GiB"


@pytest.mark.parametrize(("skew_s", "count"), [(4.0, 0), (-4.0, 0), (6.0, 1), (-6.0, 1)])
def test_the_local_clock_may_differ_by_seconds(skew_s: float, count: int) -> None:
    seen = Inventory("v1.36.1", NOW_S, NOW_S + skew_s, {})

    assert len(list(check_clocks(seen))) == count


def node(*taints: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "n", "labels": {"kubernetes.io/arch": "arm64"}},
        "spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def test_a_node_outside_the_probes_selector_is_not_reported() -> None:
    probe = workload("probe", "x/probe:0.1.0")
    probe["spec"]["template"]["spec"]["nodeSelector"] = {"edge": "yes"}

    assert list(check_devices(inventory(daemonsets=[probe], nodes=[node()]))) == []


@pytest.mark.parametrize(
    ("taints", "complaint"),
    [
        ((), "it has no device profile and gets no tasks"),
        (("gpu",), "the probe does not tolerate gpu"),
        (("node-role.kubernetes.io/control-plane",), ""),
    ],
)
def test_a_node_without_a_profile_is_reported_with_the_reason(
    taints: tuple[str, ...], complaint: str
) -> None:
    probe = workload("probe", "x/probe:0.1.0")

    findings = problems(check_devices(inventory(daemonsets=[probe], nodes=[node(*taints)])))

    assert complaint in findings
    assert bool(findings) is bool(complaint)
