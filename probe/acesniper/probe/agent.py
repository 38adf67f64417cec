"""The probe that stays on a node: measures when there is a reason to, and waits with little memory.

Measuring happens in a child process, so that what it loads is given back.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from acesniper.domain.errors import AcesniperError

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 600.0
"""Between two attempts of a node that fails to measure or to publish."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One round is one look at the profile; `measure` measures and publishes, or raises.

    `measure` gets the value of `spec.reprobe` that it answers; `published` is called whenever the
    profile is known to hold.
    """

    suite_version: str
    profile: Callable[[], Profile | None]
    measure: Callable[[str | None], None]
    published: Callable[[], object]
    check_s: float

    def round(self, failures: int) -> tuple[int, float]:
        """Look, and measure if need be; returns the failures in a row and how long to wait."""
        try:
            found = self.profile()
            reason = reason_to_measure(found, self.suite_version)
            if reason is not None:
                log.info("measuring: %s", reason)
                self.measure(requested_reprobe(found))
                log.info("published")
        except AcesniperError as error:
            # Beyond 20 the power would only grow.
            doubled_s = self.check_s * 2.0 ** min(failures, 20)
            pause_s = min(doubled_s, max(LONGEST_PAUSE_S, self.check_s))
            log.warning("%s; trying again in %.0f s", error, pause_s)
            return failures + 1, pause_s
        self.published()
        return 0, self.check_s

    def run(self, wait: Callable[[float], object]) -> None:
        """Go on for ever; `wait` pauses for some seconds."""
        failures = 0
        while True:
            failures, pause_s = self.round(failures)
            wait(pause_s)
