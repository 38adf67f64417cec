"""A cgroup for all pods of a node, so that a CPU quota makes a slower device of it."""

import contextlib
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000


def _hierarchies(root: Path) -> list[Path]:
    """Where controllers are: one folder with cgroup v2, one for each controller with v1."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return [each for each in sorted(root.iterdir()) if each.is_dir() and each.name != "unified"]


def make_cgroup(name: str, cpus: float | None, root: Path = CGROUP_ROOT) -> None:
    """Make the cgroup in every hierarchy; `cpus` limits what all its pods get together."""
    for hierarchy in _hierarchies(root):
        folder = hierarchy / name
        folder.mkdir(exist_ok=True)
        # With v1 a cpuset without processors takes no process; children copy it when they are made.
        for each in ("cpuset.cpus", "cpuset.mems"):
            if hierarchy != root and (hierarchy / each).exists():
                (folder / each).write_text((hierarchy / each).read_text())
        if cpus is not None:
            _limit(folder, cpus)


def _limit(folder: Path, cpus: float) -> None:
    quota = round(cpus * PERIOD_US)
    for name, value in (("cpu.max", f"{quota} {PERIOD_US}"), ("cpu.cfs_quota_us", str(quota))):
        if (folder / name).exists():
            (folder / name).write_text(value)


def remove_cgroup(name: str, root: Path = CGROUP_ROOT) -> None:
    """Remove it and what lies in it; a cgroup that still has processes stays."""
    # The runtime makes them in the hierarchy without controllers, too.
    for hierarchy in [*_hierarchies(root), root / "unified"]:
        folders = [*sorted((hierarchy / name).rglob("*"), reverse=True), hierarchy / name]
        for folder in folders:
            if folder.is_dir():
                with contextlib.suppress(OSError):
                    folder.rmdir()
