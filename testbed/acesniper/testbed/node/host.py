"""What a real node needs of the host: programs, namespaces, and a cgroup of its own."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

NEEDED_PROGRAMS = (
    "buildah",
    "podman",
    "debootstrap",
    "containerd",
    "runc",
    "iptables",
    "conntrack",
    "ip",
)
PROBE_CGROUP = f"acesniper-try-{os.getpid()}"
CNI_PLUGINS = Path("/usr/lib/cni")
NEEDED_PACKAGES = (
    "buildah podman debootstrap containerd runc containernetworking-plugins iptables conntrack"
    " iproute2"
)


def missing_for_nodes() -> str | None:
    """What is missing, as a sentence; None when nodes can be started."""
    if os.geteuid() != 0:
        return "real nodes need root"
    missing = [each for each in NEEDED_PROGRAMS if shutil.which(each) is None]
    if not (CNI_PLUGINS / "bridge").exists():
        missing.append(f"{CNI_PLUGINS}/bridge")
    if missing:
        return f"real nodes need {', '.join(missing)}: on Debian 12, apt install {NEEDED_PACKAGES}"
    return _sandbox()


def _sandbox() -> str | None:
    """What a sandbox does not allow, although we are root in it."""
    for what, argv in (
        ("namespaces", ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "true"]),
        ("network links", ["unshare", "--net", "ip", "link", "add", "acetry", "type", "veth"]),
    ):
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode:
            return f"real nodes need {what}, and here {argv[0]} says: {done.stderr.strip()}"
    try:
        make_cgroup(PROBE_CGROUP, None)
    except OSError as error:
        return f"real nodes need cgroups of their own: {error}"
    finally:
        remove_cgroup(PROBE_CGROUP)
    return None


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
