"""When a node must be measured: a pure function of its profile."""

from collections.abc import Mapping
from typing import Any

Profile = Mapping[str, Any]


def reason_to_measure(profile: Profile | None, suite_version: str) -> str | None:
    """Why the node should measure itself now, in words; None when its profile holds.

    The age of a profile is no reason: the operator says that it is stale, a person or a policy
    asks through `spec.reprobe`.
    """
    if profile is None:
        return "there is no profile"
    status = profile.get("status") or {}
    if not status.get("readings"):
        return "the profile has no readings"
    measured_with = status.get("suiteVersion")
    if measured_with != suite_version:
        return f"measured with suite {measured_with}, this is suite {suite_version}"
    asked = requested_reprobe(profile)
    if asked != status.get("reprobed"):
        return f"spec.reprobe asks for {asked!r}"
    return None


def requested_reprobe(profile: Profile | None) -> str | None:
    """The value of `spec.reprobe`; an empty one asks for nothing."""
    return ((profile or {}).get("spec") or {}).get("reprobe") or None
