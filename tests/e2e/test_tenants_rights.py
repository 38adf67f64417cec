"""The author of a task gets from the operator what the author may create, and no more."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from acesniper.testbed import ControlPlane
from acesniper.testbed.deployment import Deployment
from acesniper.testbed.errors import CommandFailed
from helm_release import template

SHA256 = "0" * 64
HTTP = {"uri": "https://models.example/m.onnx", "sha256": SHA256}
ROLES = {
    # Tasks without containers, Secrets or claims of their own.
    "author": [("acesniper.io", ["inferencetasks", "modelprofiles"], ["create", "patch", "get"])],
    "developer": [
        ("acesniper.io", ["inferencetasks", "modelprofiles"], ["create", "patch", "get"]),
        ("", ["pods"], ["create"]),
    ],
    "platform": [
        ("acesniper.io", ["inferencetasks", "modelprofiles"], ["create", "patch", "get"]),
        ("acesniper.io", ["privilegedpods"], ["use"]),
        ("", ["pods"], ["create"]),
        ("", ["serviceaccounts"], ["impersonate"]),
    ],
}


@pytest.fixture(scope="module")
def policy(control_plane: ControlPlane, system: Deployment) -> Iterator[None]:
    """The chart's policy about authors, in force."""
    shown = [
        manifest
        for manifest in template()
        if manifest["kind"].startswith("ValidatingAdmissionPolicy")
        and manifest["metadata"]["name"].endswith("-author")
    ]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": shown})
    control_plane.kubectl("apply", "-f", "-", stdin=listed)
    yield
    control_plane.kubectl("delete", "-f", "-", stdin=listed)


@pytest.fixture
def tenants(policy: None, control_plane: ControlPlane, namespace: str) -> str:
    """A namespace whose users have the roles; returns once the policy refuses a hostPath."""
    group = "rbac.authorization.k8s.io"
    items: list[dict[str, Any]] = []
    for user, grants in ROLES.items():
        metadata = {"name": user, "namespace": namespace}
        rules = [
            {"apiGroups": [api], "resources": resources, "verbs": verbs}
            for api, resources, verbs in grants
        ]
        head = {"apiVersion": f"{group}/v1", "metadata": metadata}
        items.append({**head, "kind": "Role", "rules": rules})
        reference = {"apiGroup": group, "kind": "Role", "name": user}
        subjects = [{"apiGroup": group, "kind": "User", "name": user}]
        items.append({**head, "kind": "RoleBinding", "roleRef": reference, "subjects": subjects})
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    control_plane.kubectl("apply", "-f", "-", stdin=listed)
    refused = {"source": {"uri": "hostpath:///etc/shadow", "sha256": SHA256}}
    control_plane.children["kube-apiserver"].wait_until(
        lambda: "hostpath" in answer(control_plane, namespace, "author", refused)
    )
    return namespace


def answer(
    plane: ControlPlane,
    namespace: str,
    user: str,
    spec: dict[str, Any],
    kind: str = "InferenceTask",
) -> str:
    """The refusal of an object that a user creates (dry run); empty if it is accepted."""
    manifest = {
        "apiVersion": "acesniper.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "t", "namespace": namespace},
        "spec": spec,
    }
    try:
        flags = ("--dry-run=server", "--as", user)
        plane.kubectl("create", *flags, "-f", "-", stdin=json.dumps(manifest))
    except CommandFailed as error:
        return str(error)
    return ""


def custom(container: dict[str, Any] | None = None, **pod: Any) -> dict[str, Any]:  # noqa: ANN401
    """A task with a container of its own."""
    containers = [{"name": "runner", "image": "example", **(container or {})}]
    return {"source": HTTP, "template": {"spec": {"containers": containers, **pod}}}


DEVELOPER = {
    "template": custom(),
    "tolerations": {"source": HTTP, "tolerations": [{"operator": "Exists"}]},
    "source.secret": {"source": {**HTTP, "secret": "other-team"}},
    "output.secret": {"source": HTTP, "output": {"uri": "s3://mine/x", "secret": "other-team"}},
    "claim": {"source": HTTP, "input": {"uri": "pvc://records/batches"}},
    "ConfigMap": {"source": {"uri": "configmap://other-team/model", "sha256": SHA256}},
}
PLATFORM = {
    "hostPath address": {"source": {"uri": "hostpath:///etc/shadow", "sha256": SHA256}},
    "hostPath": custom(volumes=[{"name": "root", "hostPath": {"path": "/"}}]),
    "account": custom(serviceAccountName="deployer"),
    "old account field": custom(serviceAccount="deployer"),
    "hostNetwork": custom(hostNetwork=True),
    "hostPID": custom(hostPID=True),
    "nodeName": custom(nodeName="control-plane"),
    "class": {"source": HTTP, "priorityClassName": "system-node-critical"},
    "class of the template": custom(priorityClassName="system-node-critical"),
    "privileged": custom({"securityContext": {"privileged": True}}),
    "capabilities": custom({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
    "init container": custom(
        initContainers=[{"name": "i", "image": "x", "securityContext": {"privileged": True}}]
    ),
    "host port": custom({"ports": [{"containerPort": 80, "hostPort": 80}]}),
    "unconfined": custom(securityContext={"seccompProfile": {"type": "Unconfined"}}),
}


def test_each_field_needs_the_right_to_do_the_same_without_the_operator(
    tenants: str, control_plane: ControlPlane
) -> None:
    def accepted(user: str, cases: dict[str, dict[str, Any]]) -> set[str]:
        return {
            name for name, spec in cases.items() if not answer(control_plane, tenants, user, spec)
        }

    plain = {"plain": {"source": HTTP, "resources": {"limits": {"cpu": "1"}}}}
    assert accepted("author", plain | DEVELOPER | PLATFORM) == {"plain"}
    assert accepted("developer", plain | DEVELOPER | PLATFORM) == {"plain", *DEVELOPER}
    assert accepted("platform", DEVELOPER | PLATFORM) == {*DEVELOPER, *PLATFORM}


def test_a_refusal_names_the_field_the_user_and_the_missing_right(
    tenants: str, control_plane: ControlPlane
) -> None:
    spec = {"source": {"uri": "hostpath:///var/lib/kubelet/x", "sha256": SHA256}}

    text = answer(control_plane, tenants, "author", spec, kind="ModelProfile")

    assert "author may not read files of nodes by hostpath://" in text
    assert "grant use on privilegedpods.acesniper.io" in text


def test_a_spec_is_checked_when_it_is_changed_and_metadata_is_not(
    tenants: str, control_plane: ControlPlane
) -> None:
    manifest = {
        "apiVersion": "acesniper.io/v1alpha1",
        "kind": "InferenceTask",
        "metadata": {"name": "kept", "namespace": tenants},
        "spec": {**custom(hostNetwork=True), "suspend": True},
    }
    control_plane.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    patch = ("patch", "itask", "kept", "-n", tenants, "--as", "author", "--type=merge", "-p")

    control_plane.kubectl(*patch, '{"metadata": {"labels": {"team": "a"}}}')
    with pytest.raises(CommandFailed, match="may not create pods"):
        control_plane.kubectl(*patch, '{"spec": {"suspend": false}}')
