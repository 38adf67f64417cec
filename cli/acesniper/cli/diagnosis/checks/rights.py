"""Whether the service accounts have the rights that the chart gives them."""

from collections.abc import Iterable

from acesniper.cli.doctor.command.finding import Finding, Severity
from acesniper.cli.doctor.command.sight import Right, Sight, account, place

SHOWN = 4
READING = ("get", "list", "watch")
"""Verbs that change nothing: what else is missing is told first."""


def judge(sight: Sight) -> Iterable[Finding]:
    """One finding per account that is missing, or lacks any right."""
    if "serviceaccounts" not in sight.unseen:
        yield from _missing(sight)
    if sight.denied is None:
        yield Finding(
            "not checked: you may not ask what others may do",
            "your user, create subjectaccessreviews",
            "ask a cluster admin to run this",
            severity=Severity.WARNING,
        )
        return
    by_account: dict[str, list[Right]] = {}
    for each in sight.denied:
        by_account.setdefault(each.account, []).append(each)
    for who, rights in by_account.items():
        rights.sort(key=lambda right: right.verb in READING)
        shown = "; ".join(map(str, rights[:SHOWN]))
        more = f"; and {len(rights) - SHOWN} more" if len(rights) > SHOWN else ""
        _, _, namespace, name = who.split(":")
        yield Finding(
            f"it may not {shown}{more}",
            f"ServiceAccount {namespace}/{name}",
            "give the chart's roles and bindings back",
            sight.restore(),
        )


def _missing(sight: Sight) -> Iterable[Finding]:
    """Accounts that are named and are not there: tokens of running pods are worth nothing."""
    for workload in sight.parts():
        _, _, namespace, name = account(workload).split(":")
        if name != "default" and sight.named("serviceaccounts", name, namespace) is None:
            yield Finding(
                f"its ServiceAccount {name} is not there: it may do nothing, and its next pod is"
                " refused",
                place(workload),
                "make the account again, and restart its pods",
                sight.restore(),
            )
