"""Probe agent of a node: measures the node when its DeviceProfile calls for it, and waits.

Measuring happens in a child process, so that the memory it takes is freed afterwards.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from acesniper.domain.backoff import Backoff
from acesniper.domain.errors import AcesniperError

log = logging.getLogger(__name__)

Profile = Mapping[str, Any]
"""A DeviceProfile as JSON."""

MAX_BACKOFF_S = 600.0
"""Upper bound on the pause between two attempts after failures to measure or to publish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Reconciles a node's DeviceProfile.

    `profile` reads the DeviceProfile, None if it is missing. `measure` measures and publishes, or
    raises; its arguments are the value of `spec.reprobe` that the measurement answers and
    `spec.threads`. `published` is called whenever the DeviceProfile is up to date.
    """

    suite_version: str
    profile: Callable[[], Profile | None]
    measure: Callable[[str | None, int | None], None]
    published: Callable[[], object]
    check_s: float

    def check(self, failures: int) -> tuple[int, float]:
        """Check the profile and measure if needed; returns failures in a row, seconds to wait."""
        try:
            profile = self.profile()
            reason = reason_to_measure(profile, self.suite_version)
            if reason is not None:
                log.info("measuring this node: %s", reason)
                self.measure(requested_reprobe(profile), requested_threads(profile))
                log.info("measured this node and published its DeviceProfile")
        except AcesniperError as error:
            failures += 1
            backoff = Backoff(self.check_s, max(MAX_BACKOFF_S, self.check_s))
            pause_s = backoff.delay_s(failures)
            log.warning("%s; next attempt in %.0f s", error, pause_s)
            return failures, pause_s
        self.published()
        return 0, self.check_s

    def run(self, wait: Callable[[float], object]) -> None:
        """Run rounds forever; `wait` sleeps for a number of seconds."""
        failures = 0
        while True:
            failures, pause_s = self.check(failures)
            wait(pause_s)


def reason_to_measure(profile: Profile | None, suite_version: str) -> str | None:
    """Why the node has to be measured now, as text for the log; None if its profile is up to date.

    The age of a profile is no reason: the operator marks it as stale, and a user or a policy asks
    for a new measurement through `spec.reprobe`.
    """
    if profile is None:
        return "it has no DeviceProfile"
    status = profile.get("status") or {}
    if not status.get("readings"):
        return "its DeviceProfile has no readings"
    measured_with = status.get("suiteVersion")
    if measured_with != suite_version:
        return f"it was measured with suite {measured_with}, the current suite is {suite_version}"
    threads = requested_threads(profile)
    if threads is not None and threads != status.get("threads"):
        return f"spec.threads requests {threads} threads"
    reprobe = requested_reprobe(profile)
    if reprobe != status.get("reprobed"):
        return f"spec.reprobe requests {reprobe!r}"
    return None


def requested_reprobe(profile: Profile | None) -> str | None:
    """Value of `spec.reprobe`; None if it is unset or empty."""
    return ((profile or {}).get("spec") or {}).get("reprobe") or None


def requested_threads(profile: Profile | None) -> int | None:
    """Value of `spec.threads`, which only people set; None if it is unset."""
    return ((profile or {}).get("spec") or {}).get("threads")
