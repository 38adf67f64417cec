"""What each part must be allowed to do: the chart's own rules, and those of a kube-scheduler."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import yaml

from acesniper.api.objects import Json
from acesniper.cli.doctor.command.sight import Right, Sight, account

RULES = "rules.yaml"
"""Generated from the chart by `make generate`: file name without `-rules.yaml` to its rules."""

_CLUSTER_WIDE: Mapping[str, str] = {
    "operator": "operator",
    "extender": "scheduler",
    "probe": "probe",
}
"""Rules that hold in all namespaces, and the part whose account has them."""
_NAMESPACED: Mapping[str, str] = {"operator-lease": "operator", "extender-lease": "scheduler"}
_KUBE_SCHEDULER = (
    ("create", "", "pods/binding", "", ""),
    ("patch", "", "pods/status", "", ""),
    ("list", "", "persistentvolumes", "", ""),
    ("list", "storage.k8s.io", "storageclasses", "", ""),
    ("get", "", "configmaps", "kube-system", "extension-apiserver-authentication"),
)
"""Some of the rights that a kube-scheduler gets by the cluster's own roles, one of each role."""


def needed(sight: Sight) -> list[Right]:
    """The rights of the parts that are installed."""
    rules = _rules()
    found: list[Right] = []
    for name, part in _CLUSTER_WIDE.items():
        if (workload := sight.part(part)) is not None:
            found += _rights(account(workload), rules[name], "")
    own = {"lease": "scheduler"} if sight.own_scheduler else {}
    namespaced = {**_NAMESPACED, **own}
    for name, part in namespaced.items():
        if (workload := sight.part(part)) is not None:
            found += _rights(account(workload), rules[name], workload["metadata"]["namespace"])
    if sight.own_scheduler and (scheduler := sight.part("scheduler")) is not None:
        found += [Right(account(scheduler), *each) for each in _KUBE_SCHEDULER]
    return found


def _rights(who: str, rules: Sequence[Json], namespace: str) -> Iterator[Right]:
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames", [""]):
                        yield Right(who, verb, group, resource, namespace, name)


def _rules() -> Mapping[str, Any]:
    text = files("acesniper.cli.doctor").joinpath(RULES).read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.safe_load(text)
    return found
