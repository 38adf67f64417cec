"""How much memory is left in the container that this process runs in.

Where it is used up, the kernel ends the container's processes, all of them on most clusters.
"""

import resource
from collections.abc import Sequence
from pathlib import Path

LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Of version 2 and 1 of the kernel's control groups, as a container sees its own."""
UNLIMITED_BYTES = 1 << 60
"""Version 1 writes the largest number of pages instead of none."""
SPARE_BYTES = 128 << 20
"""For what this process will use beyond what it uses now."""


def available_bytes(limits: Sequence[Path] = LIMITS) -> int | None:
    """What another process may have beside this one; None where no limit is known."""
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
