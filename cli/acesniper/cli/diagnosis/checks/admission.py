"""Whether a probe is kept from writing the profiles of other nodes."""

from collections.abc import Iterable

from acesniper.cli.doctor.command.finding import Finding, Severity
from acesniper.cli.doctor.command.sight import Sight, account, place

POLICIES, BINDINGS = "validatingadmissionpolicies", "validatingadmissionpolicybindings"


def judge(sight: Sight) -> Iterable[Finding]:
    """A policy that is missing, not bound, or only warns. Without a probe there is no need."""
    probe = sight.part("probe")
    if probe is None:
        return
    mend = ("put it back (or install with admissionPolicy.enabled=true)", sight.restore())
    risk = "any node can write any device's measurement"
    name = f"{sight.release}-own-profile"
    who = account(probe)
    policies = [each for each in sight.all(POLICIES) if who in str(each["spec"])]
    if not policies:
        what = f"no admission policy is about the probe: {risk}"
        where = f"ValidatingAdmissionPolicy {name}"
        yield Finding(what, where, *mend, severity=Severity.WARNING)
        return
    policy = policies[0]
    if policy["spec"].get("failurePolicy", "Fail") != "Fail":
        yield Finding(f"it lets through what it cannot judge: {risk}", place(policy), *mend)
    bindings = [
        each
        for each in sight.all(BINDINGS)
        if each["spec"]["policyName"] == policy["metadata"]["name"]
    ]
    if not any("Deny" in each["spec"].get("validationActions", ()) for each in bindings):
        yield Finding(f"nothing makes it refuse: {risk}", place(policy), *mend)
