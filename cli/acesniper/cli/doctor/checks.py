"""All checks of the doctor, and how they are run."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from acesniper.cli.doctor.access_checks import check_admission_policy, check_permissions
from acesniper.cli.doctor.activity_checks import (
    check_clocks,
    check_leases,
    check_tasks,
    check_watches,
)
from acesniper.cli.doctor.compatibility_checks import check_definitions, check_versions
from acesniper.cli.doctor.component_checks import (
    check_components,
    check_priority_classes,
    check_scheduler_configuration,
)
from acesniper.cli.doctor.findings import Finding, Severity
from acesniper.cli.doctor.inventory import Inventory
from acesniper.cli.doctor.profile_checks import check_devices, check_models, check_objects


@dataclass(frozen=True, slots=True)
class Check:
    """A check.

    Attributes:
        name: Its name in the JSON output.
        claim: The statement that holds if it finds nothing.
        run: Yields the problems in an inventory.
        needs: Plurals of the kinds that it looks at.
    """

    name: str
    claim: str
    run: Callable[[Inventory], Iterable[Finding]]
    needs: tuple[str, ...] = ()


_WORKLOADS = ("deployments", "daemonsets")

COMPONENTS = Check("parts", "all components run", check_components, (*_WORKLOADS, "pods"))
CHECKS: Sequence[Check] = (
    COMPONENTS,
    Check("versions", "versions are compatible", check_versions, _WORKLOADS),
    Check(
        "definitions",
        "the custom resource definitions are of this version",
        check_definitions,
        ("customresourcedefinitions",),
    ),
    Check("rights", "every component has its permissions", check_permissions, _WORKLOADS),
    Check(
        "configuration",
        "kube-scheduler calls the extender",
        check_scheduler_configuration,
        (*_WORKLOADS, "configmaps"),
    ),
    Check(
        "leases",
        "planner, kube-scheduler and operator renew their leases",
        check_leases,
        (*_WORKLOADS, "leases"),
    ),
    Check("extender", "no watch of the extender is stalled", check_watches),
    Check(
        "priorities",
        "priority classes exist",
        check_priority_classes,
        (*_WORKLOADS, "priorityclasses"),
    ),
    Check(
        "admission",
        "a probe can write the profiles of its own node only",
        check_admission_policy,
        (*_WORKLOADS, "validatingadmissionpolicies", "validatingadmissionpolicybindings"),
    ),
    Check(
        "devices",
        "all nodes have a recent probe",
        check_devices,
        (*_WORKLOADS, "nodes", "deviceprofiles"),
    ),
    Check(
        "objects",
        "operator and extender can read all objects",
        check_objects,
        ("deviceprofiles", "modelprofiles", "inferencetasks"),
    ),
    Check("models", "all models are usable", check_models, ("modelprofiles",)),
    Check("tasks", "the operator processes tasks", check_tasks, ("inferencetasks",)),
    Check("clocks", "clocks are synchronised", check_clocks, ("leases",)),
)
"""In the order in which their findings should be fixed."""


def run_checks(inventory: Inventory) -> list[Finding]:
    """All findings; a check whose objects may not be listed yields a warning.

    If nothing is installed, that is the only finding.
    """
    findings = []
    for check in applicable(inventory):
        unlisted = [kind for kind in check.needs if kind in inventory.unlisted]
        problems = _not_checked(unlisted) if unlisted else check.run(inventory)
        findings += [replace(problem, check=check.name) for problem in problems]
    return findings


def applicable(inventory: Inventory) -> Sequence[Check]:
    """All checks, or only the first if nothing is installed."""
    unlisted = any(kind in inventory.unlisted for kind in _WORKLOADS)
    return CHECKS if unlisted or any(inventory.workloads()) else (COMPONENTS,)


def _not_checked(kinds: Sequence[str]) -> list[Finding]:
    return [
        Finding(
            f"not checked: this user may not list {', '.join(kinds)}",
            "the current user",
            "request the permission, or let a cluster administrator run this command",
            severity=Severity.WARNING,
        )
    ]
