"""Facts about the platform from the operating system: CPU, memory, CPU quota."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class PlatformFacts:
    """`cores` are usable by this process; `cpu_quota` is a limit in cores, None if unset."""

    architecture: str
    cpu_model: str
    cores: int
    cpu_quota: float | None
    memory_bytes: int


def facts() -> PlatformFacts:
    """Facts about the platform that this process runs on."""
    return PlatformFacts(
        architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(
            platform.machine(), platform.machine()
        ),
        cpu_model=cpu_model(Path("/proc/cpuinfo")),
        cores=len(os.sched_getaffinity(0)),
        cpu_quota=cpu_quota(Path("/proc/self/cgroup"), CGROUPS),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def cpu_model(cpuinfo: Path) -> str:
    """CPU name; boards without one in cpuinfo have it in the device tree."""
    for line in cpuinfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware") and value.strip():
            return value.strip()
    tree = Path("/proc/device-tree/model")
    return tree.read_text().strip("\0\n ") if tree.exists() else platform.machine()


def cpu_quota(membership: Path, root: Path) -> float | None:
    """Lowest CPU limit, in cores, of this process's cgroup and its ancestors."""
    limits = []
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root if not controllers else root / "cpu"
        folder = top / path.lstrip("/")
        while folder.is_relative_to(top):
            limits.append(_limit(folder))
            if folder == top:
                break
            folder = folder.parent
    set_limits = [limit for limit in limits if limit is not None]
    return min(set_limits) if set_limits else None


def _limit(folder: Path) -> float | None:
    v2, v1 = folder / "cpu.max", folder / "cpu.cfs_quota_us"
    if v2.exists():
        quota, period = v2.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    if v1.exists():
        micros = int(v1.read_text())
        return micros / int((folder / "cpu.cfs_period_us").read_text()) if micros > 0 else None
    return None
