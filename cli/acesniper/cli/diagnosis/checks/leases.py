"""Whether planner, kube-scheduler and operator are at work: each renews a lease as long as it is.

Ages are by the API server's clock against what the holder wrote; `clocks` judges whether the nodes'
clocks agree with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from acesniper.api.names import OPERATOR_LEASE, PLANNER_LEASE
from acesniper.api.scheduler_config import SchedulerConfig
from acesniper.api.units import duration_text, epoch_s
from acesniper.cli.doctor.command.finding import Finding
from acesniper.cli.doctor.command.sight import PART, Sight, container

GRACE = 2.0
"""A lease may be this many times as old as it lasts, before somebody is called away."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease, where, and what happens while nobody does."""

    lease: str
    who: str
    part: str
    container: str
    meanwhile: str


HOLDERS = (
    Holder(
        PLANNER_LEASE,
        "the planner",
        "scheduler",
        "extender",
        "tasks start first come, first served",
    ),
    Holder(
        SchedulerConfig().lease_name,
        "our kube-scheduler",
        "scheduler",
        "kube-scheduler",
        "no task is bound",
    ),
    Holder(OPERATOR_LEASE, "the operator", "operator", "operator", "no task is begun or followed"),
)


def judge(sight: Sight) -> Iterable[Finding]:
    """Leases that are missing, or that nobody renews."""
    for each in HOLDERS:
        # A part that is missing is a finding already.
        part = sight.part(each.part)
        if part is not None and container(part, each.container) is not None:
            yield from _held(each, sight)


def _held(holder: Holder, sight: Sight) -> Iterator[Finding]:
    name, who, meanwhile = holder.lease, holder.who, holder.meanwhile
    where = f"Lease {sight.namespace}/{name}"
    found = sight.named("leases", name, sight.namespace)
    if found is None:
        yield Finding(
            f"the lease of {who} is gone, and it may not make one",
            where,
            "make it again",
            sight.restore(),
        )
        return
    spec = found.get("spec") or {}
    logs = (
        f"kubectl logs --namespace {sight.namespace} --selector {PART}={holder.part}"
        f" --container {holder.container}"
    )
    fix = f"read what it says: {logs}"
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        yield Finding(f"{who} does not work: nobody holds its lease; {meanwhile}", where, fix)
        return
    age_s = sight.server_s - epoch_s(spec["renewTime"])
    if age_s > GRACE * float(spec.get("leaseDurationSeconds") or 15):
        since = duration_text(age_s)
        text = f"{who} does not work: its lease was renewed {since} ago; {meanwhile}"
        yield Finding(text, where, fix)
