"""Memory that is available in the container of this process.

A container that exceeds its memory limit is OOM-killed, on most clusters with all its processes.
"""

import resource
from collections.abc import Sequence
from pathlib import Path

LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Limit files of cgroup v2 and v1, as seen in a container."""
UNLIMITED_BYTES = 1 << 60
"""cgroup v1 reports a huge number instead of no limit."""
SPARE_BYTES = 128 << 20
"""Reserve for further allocations of this process."""


def available_bytes(limits: Sequence[Path] = LIMITS) -> int | None:
    """Memory that another process may use in addition to this one; None without a limit."""
    limit = _limit_bytes(limits)
    if limit is None:
        return None
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return max(limit - resident - SPARE_BYTES, 0)


def _limit_bytes(limits: Sequence[Path]) -> int | None:
    for file in limits:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) < UNLIMITED_BYTES:
            return int(text)
    return None
