"""Permissions of each component: every verb is listed here, with its reason in the rules.

A new right needs a line here, so that no component grants one in passing.
"""

from typing import Any

import pytest

from acesniper.testbed.errors import BinariesMissing
from acesniper.testbed.programs import ensure_helm
from helm_release import CHART, template

RIGHTS = {
    "acesniper-operator": {
        "acesniper.io/inferencetasks": "get list watch delete",
        "acesniper.io/modelprofiles": "get list watch create delete",
        "acesniper.io/deviceprofiles": "get list watch patch",
        "acesniper.io/inferencetasks/finalizers": "update",
        "acesniper.io/inferencetasks/status": "patch",
        "acesniper.io/modelprofiles/status": "patch",
        "acesniper.io/deviceprofiles/status": "patch",
        "pods": "get list watch create delete patch",
        "scheduling.k8s.io/priorityclasses": "get list watch",
        "nodes": "get list watch",
        "nodes/status": "patch",
        "events": "create",
        "configmaps": "get",
        "persistentvolumeclaims": "get list watch",
        "persistentvolumes": "get list watch",
        "storage.k8s.io/storageclasses": "get list watch",
    },
    "acesniper-extender": {
        "acesniper.io/inferencetasks": "get list watch",
        "acesniper.io/modelprofiles": "get list watch",
        "acesniper.io/deviceprofiles": "get list watch",
        "nodes": "get list watch",
        "pods": "get list watch patch delete",
        "events": "create",
        "persistentvolumeclaims": "get list watch",
        "persistentvolumes": "get list watch",
        "storage.k8s.io/storageclasses": "get list watch",
    },
    "acesniper-probe": {
        "acesniper.io/deviceprofiles": "get create patch",
        "acesniper.io/deviceprofiles/status": "patch",
    },
    # For tenants, and bound by administrators: no pods, no Secrets.
    "acesniper-tenant": {
        "acesniper.io/inferencetasks": "create get list watch update patch delete",
        "acesniper.io/modelprofiles": "create get list watch update patch delete",
        "acesniper.io/deviceprofiles": "get list watch",
    },
    "acesniper-lease": {"coordination.k8s.io/leases": "get update create"},
    "acesniper-planner-lease": {"coordination.k8s.io/leases": "get patch create"},
    "acesniper-operator-lease": {"coordination.k8s.io/leases": "get patch create"},
}
BOUND = {
    ("acesniper-operator", "acesniper-operator"),
    ("acesniper-extender", "acesniper-scheduler"),
    ("acesniper-probe", "acesniper-probe"),
    ("acesniper-lease", "acesniper-scheduler"),
    ("acesniper-planner-lease", "acesniper-scheduler"),
    ("acesniper-operator-lease", "acesniper-operator"),
    # The permissions of the stock scheduler, for our own account.
    ("system:kube-scheduler", "acesniper-scheduler"),
    ("system:volume-scheduler", "acesniper-scheduler"),
    ("extension-apiserver-authentication-reader", "acesniper-scheduler"),
}


@pytest.fixture(scope="module", autouse=True)
def _helm() -> None:
    try:
        ensure_helm()
    except BinariesMissing as missing:
        pytest.skip(str(missing))


def granted(rules: list[dict[str, Any]]) -> dict[str, set[str]]:
    result: dict[str, set[str]] = {}
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                result.setdefault(f"{group}/{resource}".lstrip("/"), set()).update(rule["verbs"])
    return result


def test_each_component_has_exactly_the_listed_permissions() -> None:
    roles = [role for role in template() if role["kind"] in ("ClusterRole", "Role")]

    result = {role["metadata"]["name"]: granted(role["rules"]) for role in roles}

    expected = {
        role: {what: set(verbs.split()) for what, verbs in rights.items()}
        for role, rights in RIGHTS.items()
    }
    assert result == expected


def test_each_role_is_bound_to_the_account_of_its_component() -> None:
    bindings = [role for role in template() if role["kind"].endswith("RoleBinding")]

    result = {
        (binding["roleRef"]["name"], subject["name"])
        for binding in bindings
        for subject in binding["subjects"]
    }

    assert result == BOUND


def test_retraining_may_read_profiles_and_write_the_network_only() -> None:
    values = "retraining.enabled=true", 'retraining.image="trainer:1"'
    roles = [role for role in template(*values) if role["metadata"]["name"].endswith("-retraining")]

    rules = [rule for role in roles for rule in role.get("rules", [])]

    assert granted(rules) == {
        "acesniper.io/deviceprofiles": {"get", "list"},
        "acesniper.io/modelprofiles": {"get", "list"},
        "configmaps": {"get", "patch", "create"},
    }
    written = [rule for rule in rules if "patch" in rule["verbs"]]
    assert [rule["resourceNames"] for rule in written] == [
        ["ace-sniper-network", "ace-sniper-network-before"]
    ]


def test_no_permission_uses_a_wildcard() -> None:
    for role in (role for role in template() if role["kind"] in ("ClusterRole", "Role")):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_every_permission_has_a_reason() -> None:
    lines = [
        line
        for path in (CHART / "files").glob("*-rules.yaml")
        for line in path.read_text().splitlines()
        if "verbs:" in line
    ]

    assert lines
    assert [line for line in lines if "  # " not in line] == []
