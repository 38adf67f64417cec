"""Checks of access control: permissions of the service accounts, and the admission policy."""

from collections.abc import Iterable

from acesniper.cli.doctor.findings import Finding, Severity, restore_release
from acesniper.cli.doctor.inventory import Inventory, Permission, identify, service_account

MAX_LISTED_PERMISSIONS = 4
READ_VERBS = ("get", "list", "watch")
POLICIES, BINDINGS = "validatingadmissionpolicies", "validatingadmissionpolicybindings"


def check_permissions(inventory: Inventory) -> Iterable[Finding]:
    """One finding for each service account that is missing or lacks permissions."""
    if "serviceaccounts" not in inventory.unlisted:
        yield from _missing_accounts(inventory)
    if inventory.denied is None:
        yield Finding(
            "not checked: this user may not create subjectaccessreviews",
            "the current user",
            "let a cluster administrator run this command",
            severity=Severity.WARNING,
        )
        return
    by_account: dict[str, list[Permission]] = {}
    for permission in inventory.denied:
        by_account.setdefault(permission.account, []).append(permission)
    for account, denied in by_account.items():
        # Those that change objects first.
        denied.sort(key=lambda permission: permission.verb in READ_VERBS)
        listed = "; ".join(map(str, denied[:MAX_LISTED_PERMISSIONS]))
        rest = len(denied) - MAX_LISTED_PERMISSIONS
        _, _, namespace, name = account.split(":")
        yield Finding(
            f"it may not {listed}" + (f"; and {rest} more" if rest > 0 else ""),
            f"ServiceAccount {namespace}/{name}",
            "restore the chart's roles and bindings",
            restore_release(inventory),
        )


def check_admission_policy(inventory: Inventory) -> Iterable[Finding]:
    """A policy for the probe that is missing, is not bound, or only warns."""
    probe = inventory.component("probe")
    if probe is None:
        return
    fix = (
        "restore the release (or install it with admissionPolicy.enabled=true)",
        restore_release(inventory),
    )
    risk = "any node can overwrite the measurements of any device"
    account = service_account(probe)
    policies = [policy for policy in inventory.all(POLICIES) if account in str(policy["spec"])]
    if not policies:
        where = f"ValidatingAdmissionPolicy {inventory.release}-own-profile"
        missing = f"there is no admission policy for the probe: {risk}"
        yield Finding(missing, where, *fix, severity=Severity.WARNING)
        return
    policy = policies[0]
    if policy["spec"].get("failurePolicy", "Fail") != "Fail":
        yield Finding(f"its failurePolicy is not Fail: {risk}", identify(policy), *fix)
    bindings = [
        binding
        for binding in inventory.all(BINDINGS)
        if binding["spec"]["policyName"] == policy["metadata"]["name"]
    ]
    if not any("Deny" in item["spec"].get("validationActions", ()) for item in bindings):
        yield Finding(f"no binding with the action Deny uses it: {risk}", identify(policy), *fix)


def _missing_accounts(inventory: Inventory) -> Iterable[Finding]:
    """Service accounts that pod templates name: tokens of running pods are no longer valid."""
    for workload in inventory.workloads():
        _, _, namespace, name = service_account(workload).split(":")
        if name != "default" and inventory.named("serviceaccounts", name, namespace) is None:
            yield Finding(
                f"ServiceAccount {name} does not exist: its pods have no permissions, and new"
                " pods are rejected",
                identify(workload),
                "restore the release, then restart the pods",
                restore_release(inventory),
            )
