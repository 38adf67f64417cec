"""A problem that a check found, and the commands that fix problems of an installation."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from acesniper.api.objects import Json
from acesniper.cli.doctor.inventory import COMPONENT, Inventory


class Severity(StrEnum):
    """Whether a problem stops tasks or degrades service (error), or may do so later (warning)."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem.

    Attributes:
        what: The problem, in one sentence.
        where: The object concerned, such as `Node edge-1`.
        fix: What to do.
        command: A shell command that does it, where one command can.
        severity: Whether it is an error or a warning.
        check: Name of the check that found it.
    """

    what: str
    where: str
    fix: str
    command: str = ""
    severity: Severity = Severity.ERROR
    check: str = ""


def restore_release(inventory: Inventory) -> str:
    """The command that re-applies the manifest of the Helm release.

    It applies as Helm's field manager, so that the next `helm upgrade` meets no conflicts.
    """
    apply = "kubectl apply --server-side --force-conflicts --field-manager=helm --filename -"
    return f"helm get manifest {inventory.release} --namespace {inventory.namespace} | {apply}"


def upgrade_release(inventory: Inventory, *values: str) -> str:
    """The command that upgrades the Helm release to the chart's version, with these values."""
    options = "".join(f" --set {value}" for value in values)
    release = f"{inventory.release} charts/acesniper --namespace {inventory.namespace}"
    return f"helm upgrade {release} --reuse-values{options}"


def restart_scheduler(inventory: Inventory, workload: Json | None = None) -> str:
    """The command that restarts the pods of the scheduler, extender and planner."""
    metadata = (workload or {}).get("metadata", {})
    name = metadata.get("name", f"{inventory.release}-scheduler")
    namespace = metadata.get("namespace", inventory.namespace)
    return f"kubectl rollout restart deployment {name} --namespace {namespace}"


def read_logs(inventory: Inventory, component: str, flags: str = "") -> str:
    """The command that prints the logs of a component."""
    selector = f"--selector {COMPONENT}={component}"
    logs = f"kubectl logs --namespace {inventory.namespace} {selector}"
    return f"{logs} {flags}" if flags else logs


def reprobe_device(name: str, now_s: float) -> str:
    """The command that requests a new probe of a device."""
    requested = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    patch = f'{{"spec": {{"reprobe": "{requested}"}}}}'
    return f"kubectl patch deviceprofile {name} --type=merge --patch '{patch}'"
