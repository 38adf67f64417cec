"""Whether kopf's watches still hear: what we write ourselves must come back as an event.

A silent watch proves nothing, for a quiet cluster is silent, too. But every write of ours changes
an object that is watched. If nothing of its kind is heard for minutes after that, the watch is
deaf, whatever the connection looks like (kopf's issues 957 and 1276).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

DEAF_S = 300.0
"""Longer than a watch lasts that was cut silently, and longer than most upgrades of a server."""


@dataclass(slots=True)
class Hearing:
    """Kinds by name; seconds of a clock that never jumps."""

    clock: Callable[[], float] = time.monotonic
    _unheard_s: dict[str, float] = field(default_factory=dict)
    """Since when a write of ours has brought no event."""

    def wrote(self, kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """An object was written: its metadata as it was known, and as the server answered."""
        if before.get("resourceVersion") != after.get("resourceVersion"):
            self._unheard_s.setdefault(kind, self.clock())

    def heard(self, kind: str) -> None:
        """An event of a kind came."""
        self._unheard_s.pop(kind, None)

    def deaf(self) -> list[str]:
        """Kinds whose events do not come any more."""
        now_s = self.clock()
        return [kind for kind, since_s in self._unheard_s.items() if now_s - since_s > DEAF_S]
