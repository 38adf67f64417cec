"""Whether clocks agree: deadlines, leases and backlogs are reckoned across machines."""

from collections.abc import Iterable

from acesniper.api.units import duration_text, epoch_s
from acesniper.cli.doctor.command.finding import Finding, Severity
from acesniper.cli.doctor.command.sight import Sight

TOLERANCE_S = 5.0
"""The API server tells its time in whole seconds, and an answer takes its time."""
NODE_LEASES = "kube-node-lease"


def judge(sight: Sight) -> Iterable[Finding]:
    """Clocks that are ahead: of one that is behind, a lease looks merely old."""
    off_s = sight.local_s - sight.server_s
    if abs(off_s) > TOLERANCE_S:
        yield Finding(
            f"this machine's clock is {_off(off_s)} the API server's",
            "this machine",
            "synchronise it (NTP); ages shown here are off by as much",
            severity=Severity.WARNING,
        )
    for lease in sight.all("leases"):
        renewed = (lease.get("spec") or {}).get("renewTime")
        if lease["metadata"]["namespace"] != NODE_LEASES or not renewed:
            continue
        ahead_s = epoch_s(renewed) - sight.server_s
        if ahead_s > TOLERANCE_S:
            yield Finding(
                f"its clock is {_off(ahead_s)} the API server's",
                f"Node {lease['metadata']['name']}",
                "synchronise it (NTP): what is promised to it is reckoned wrongly",
            )


def _off(seconds: float) -> str:
    return f"{duration_text(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'}"
