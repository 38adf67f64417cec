"""Whether models can be used: fetched, verified, and read."""

from collections.abc import Iterable

from acesniper.api.objects import Json, namespaced_key
from acesniper.api.units import epoch_s
from acesniper.cli.doctor.command.finding import Finding, Severity
from acesniper.cli.doctor.command.sight import PART, Sight

PATIENCE_S = 180.0
"""A large model over a slow network takes its time."""


def judge(sight: Sight) -> Iterable[Finding]:
    """Models that are refused, or that nobody has looked at."""
    for profile in sight.all("modelprofiles"):
        metadata = profile["metadata"]
        where = f"ModelProfile {namespaced_key(metadata['namespace'], metadata['name'])}"
        said = _condition(profile, "Profiled")
        if said is not None and said["status"] == "False":
            yield Finding(
                f"it cannot be used ({said['reason']}): {said.get('message', '')}",
                where,
                "correct the file or its digest, and make the ModelProfile anew",
                severity=Severity.WARNING,
            )
        elif said is None and _age_s(profile, sight) > PATIENCE_S:
            logs = f"kubectl logs --namespace {sight.namespace} --selector {PART}=operator"
            yield Finding(
                "the operator has not looked at it", where, f"the operator says why: {logs}"
            )


def _condition(thing: Json, kind: str) -> Json | None:
    conditions = (thing.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), None)


def _age_s(thing: Json, sight: Sight) -> float:
    return sight.server_s - epoch_s(thing["metadata"]["creationTimestamp"])
