"""Checks that the components work: leases, the extender's watches, tasks, and clocks.

Ages are computed with the API server's clock; `check_clocks` compares the other clocks with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from acesniper.api.names import OPERATOR_LEASE, PLANNER_LEASE, SLOW_REQUESTS_ANNOTATION
from acesniper.api.scheduler_config import SchedulerConfig
from acesniper.api.units import duration_text, epoch_s
from acesniper.cli.doctor.findings import (
    Finding,
    Severity,
    read_logs,
    restart_scheduler,
    restore_release,
)
from acesniper.cli.doctor.inventory import Inventory, container

LEASE_DURATIONS = 2.0
"""A lease is expired when it was not renewed for this many of its durations."""
DEFAULT_LEASE_S = 15
WATCH_STALLED_S = 180.0
"""The API server sends a bookmark about once a minute, and the extender reopens a watch without
events after 90 s. After 300 s without events the kubelet restarts the extender."""
WATCH_AGE_METRIC = "acesniper_watch_event_age_seconds"
PENDING_TASK_S = 60.0
MAX_CLOCK_SKEW_S = 5.0
"""The API server reports whole seconds, and a response takes time."""
NODE_LEASES = "kube-node-lease"


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """The container that renews a lease, and the consequence if it does not."""

    lease: str
    name: str
    component: str
    container: str
    consequence: str


LEASE_HOLDERS = (
    LeaseHolder(
        PLANNER_LEASE,
        "the planner",
        "scheduler",
        "extender",
        "tasks start in the order of their creation",
    ),
    LeaseHolder(
        SchedulerConfig().lease_name,
        "our kube-scheduler",
        "scheduler",
        "kube-scheduler",
        "no task is bound",
    ),
    LeaseHolder(OPERATOR_LEASE, "the operator", "operator", "operator", "no task is reconciled"),
)


def check_leases(inventory: Inventory) -> Iterable[Finding]:
    """Leases that are missing or expired, of components that are installed."""
    for holder in LEASE_HOLDERS:
        workload = inventory.component(holder.component)
        if workload is not None and container(workload, holder.container) is not None:
            yield from _lease(holder, inventory)


def check_watches(inventory: Inventory) -> Iterable[Finding]:
    """Stalled watches of the extender, if its metrics can be read."""
    for kind, age_s in samples(inventory.metrics or "", WATCH_AGE_METRIC):
        if age_s > WATCH_STALLED_S:
            yield Finding(
                f"its watch for {kind} is stalled: no events for {duration_text(age_s)}",
                "the extender",
                "restart it, and check the network between its node and the API server",
                restart_scheduler(inventory),
            )


def check_tasks(inventory: Inventory) -> Iterable[Finding]:
    """Tasks without a phase: the operator runs, but does not reconcile them."""
    pending = [
        f"{task['metadata']['namespace']}/{task['metadata']['name']}"
        for task in inventory.all("inferencetasks")
        if not (task.get("status") or {}).get("phase") and inventory.age_s(task) > PENDING_TASK_S
    ]
    if pending:
        yield Finding(
            f"the operator did not reconcile {len(pending)} tasks, such as {pending[0]}",
            f"the operator in namespace {inventory.namespace}",
            f"read its log: {read_logs(inventory, 'operator')}",
        )


def check_clocks(inventory: Inventory) -> Iterable[Finding]:
    """Clocks that differ from the API server's: the local one, and those of nodes that are ahead.

    A node whose clock is behind cannot be distinguished from one that renews its lease late.
    """
    skew_s = inventory.local_s - inventory.server_s
    if abs(skew_s) > MAX_CLOCK_SKEW_S:
        yield Finding(
            f"the local clock is {_skew(skew_s)} the API server's",
            "this machine",
            "synchronise it (NTP); the ages shown here are wrong by the same amount",
            severity=Severity.WARNING,
        )
    for lease in inventory.all("leases"):
        renewed = (lease.get("spec") or {}).get("renewTime")
        if lease["metadata"]["namespace"] != NODE_LEASES or not renewed:
            continue
        ahead_s = epoch_s(renewed) - inventory.server_s
        if ahead_s > MAX_CLOCK_SKEW_S:
            yield Finding(
                f"its clock is {_skew(ahead_s)} the API server's",
                f"Node {lease['metadata']['name']}",
                "synchronise it (NTP): finish times on this node are wrong",
            )


def samples(text: str, name: str) -> Iterator[tuple[str, float]]:
    """The label's value and the number of each sample of a metric with one label."""
    for line in text.splitlines():
        if line.startswith(f"{name}{{"):
            labels, _, value = line.rpartition(" ")
            yield labels.partition('"')[2].partition('"')[0], float(value)


def _lease(holder: LeaseHolder, inventory: Inventory) -> Iterator[Finding]:
    where = f"Lease {inventory.namespace}/{holder.lease}"
    lease = inventory.named("leases", holder.lease, inventory.namespace)
    if lease is None:
        yield Finding(
            f"the lease of {holder.name} does not exist, and {holder.name} may not create it",
            where,
            "restore the release",
            restore_release(inventory),
        )
        return
    spec = lease.get("spec") or {}
    logs = read_logs(inventory, holder.component, f"--container {holder.container}")
    fix = f"read its log: {logs}"
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        yield Finding(
            f"{holder.name} is down: its lease has no holder; {holder.consequence}", where, fix
        )
        return
    age_s = inventory.server_s - epoch_s(spec["renewTime"])
    duration_s = float(spec.get("leaseDurationSeconds") or DEFAULT_LEASE_S)
    if age_s > LEASE_DURATIONS * duration_s:
        renewed = f"its lease was last renewed {duration_text(age_s)} ago"
        yield Finding(f"{holder.name} is down: {renewed}; {holder.consequence}", where, fix)
    elif slow_s := (lease["metadata"].get("annotations") or {}).get(SLOW_REQUESTS_ANNOTATION):
        yield Finding(
            f"a request of {holder.name} to the API server took {slow_s} s: its lease lasts "
            f"{duration_text(duration_s)}, and its loss is noticed only then",
            where,
            "give the API server faster storage or more processor time",
            severity=Severity.WARNING,
        )


def _skew(seconds: float) -> str:
    return f"{duration_text(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'}"
