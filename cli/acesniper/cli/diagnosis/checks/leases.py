"""Whether the planner and our kube-scheduler are at work: both renew a lease as long as they are.

Ages are by the API server's clock against what the holder wrote; `clocks` judges whether the nodes'
clocks agree with it.
"""

from collections.abc import Iterable, Iterator

from acesniper.api.names import PLANNER_LEASE
from acesniper.api.scheduler_config import SchedulerConfig
from acesniper.api.times import duration_text, epoch_s
from acesniper.cli.diagnosis.finding import Finding
from acesniper.cli.diagnosis.sight import PART, Sight

GRACE = 2.0
"""A lease may be this many times as old as it lasts, before somebody is called away."""


def judge(sight: Sight) -> Iterable[Finding]:
    """Leases that are missing, or that nobody renews."""
    if sight.part("scheduler") is None:
        return  # a finding already
    meanwhile = "tasks start first come, first served"
    yield from _held(PLANNER_LEASE, "the planner", "extender", meanwhile, sight)
    if sight.own_scheduler:
        name = SchedulerConfig().lease_name
        yield from _held(name, "our kube-scheduler", "kube-scheduler", "no task is bound", sight)


def _held(name: str, who: str, container: str, meanwhile: str, sight: Sight) -> Iterator[Finding]:
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
        f"kubectl logs --namespace {sight.namespace} --selector {PART}=scheduler"
        f" --container {container}"
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
