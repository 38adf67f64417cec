"""Whether tasks are looked after: an operator that hangs runs, but gives no task a phase."""

from collections.abc import Iterable

from acesniper.api.objects import object_key
from acesniper.api.units import epoch_s
from acesniper.cli.doctor.command.finding import Finding
from acesniper.cli.doctor.command.sight import PART, Sight

PATIENCE_S = 60.0


def judge(sight: Sight) -> Iterable[Finding]:
    """One finding for all tasks that nobody has looked at."""
    left = [
        object_key(each)
        for each in sight.all("inferencetasks")
        if not (each.get("status") or {}).get("phase")
        and sight.server_s - epoch_s(each["metadata"]["creationTimestamp"]) > PATIENCE_S
    ]
    if left:
        logs = f"kubectl logs --namespace {sight.namespace} --selector {PART}=operator"
        yield Finding(
            f"the operator has not looked at {len(left)} tasks, such as {left[0]}",
            f"the operator in namespace {sight.namespace}",
            f"it says why: {logs}",
        )
