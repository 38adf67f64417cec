"""The permissions that the components need: the chart's rules, and those of a kube-scheduler."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import yaml

from acesniper.api.objects import Json
from acesniper.cli.doctor.inventory import Inventory, Permission, service_account

RULES = "rules.yaml"
"""Rules by the name of their file in the chart, without `-rules.yaml`; see `make generate`."""

_CLUSTER_WIDE: Mapping[str, str] = {
    "operator": "operator",
    "extender": "scheduler",
    "probe": "probe",
}
"""Rules that apply in all namespaces, and the component whose service account has them."""
_NAMESPACED: Mapping[str, str] = {"operator-lease": "operator", "extender-lease": "scheduler"}
_KUBE_SCHEDULER = (
    ("create", "", "pods/binding", "", ""),
    ("patch", "", "pods/status", "", ""),
    ("list", "", "persistentvolumes", "", ""),
    ("list", "storage.k8s.io", "storageclasses", "", ""),
    ("get", "", "configmaps", "kube-system", "extension-apiserver-authentication"),
)
"""One permission of each of the cluster's own roles that a kube-scheduler needs."""


def required_permissions(inventory: Inventory) -> list[Permission]:
    """The permissions that the installed components need."""
    rules = _rules()
    required: list[Permission] = []
    for name, component in _CLUSTER_WIDE.items():
        if (workload := inventory.component(component)) is not None:
            required += _permissions(service_account(workload), rules[name], "")
    namespaced = {**_NAMESPACED, **({"lease": "scheduler"} if inventory.own_scheduler else {})}
    for name, component in namespaced.items():
        if (workload := inventory.component(component)) is not None:
            namespace = workload["metadata"]["namespace"]
            required += _permissions(service_account(workload), rules[name], namespace)
    scheduler = inventory.component("scheduler")
    if inventory.own_scheduler and scheduler is not None:
        account = service_account(scheduler)
        required += [Permission(account, *permission) for permission in _KUBE_SCHEDULER]
    return required


def access_review(permission: Permission) -> Json:
    """The SubjectAccessReview that asks whether an account has a permission."""
    resource, _, subresource = permission.resource.partition("/")
    _, _, namespace, _ = permission.account.split(":")
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": permission.account,
            "groups": [
                "system:authenticated",
                "system:serviceaccounts",
                f"system:serviceaccounts:{namespace}",
            ],
            "resourceAttributes": {
                "verb": permission.verb,
                "group": permission.group,
                "resource": resource,
                "subresource": subresource,
                "namespace": permission.namespace,
                "name": permission.name,
            },
        },
    }


def _permissions(account: str, rules: Sequence[Json], namespace: str) -> Iterator[Permission]:
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames", [""]):
                        yield Permission(account, verb, group, resource, namespace, name)


def _rules() -> Mapping[str, Any]:
    text = files("acesniper.cli.doctor").joinpath(RULES).read_text(encoding="utf-8")
    rules: Mapping[str, Any] = yaml.safe_load(text)
    return rules
