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
_TRIAL_CGROUP = f"acesniper-try-{os.getpid()}"
CNI_PLUGINS = Path("/usr/lib/cni")
NEEDED_PACKAGES = (
    "buildah podman debootstrap containerd runc containernetworking-plugins iptables conntrack"
    " iproute2"
)


def missing_for_nodes() -> str | None:
    """Why real nodes cannot be started here, as a sentence; None if they can."""
    if os.geteuid() != 0:
        return "real nodes need root"
    missing = [name for name in NEEDED_PROGRAMS if shutil.which(name) is None]
    if not (CNI_PLUGINS / "bridge").exists():
        missing.append(f"{CNI_PLUGINS}/bridge")
    if missing:
        return f"real nodes need {', '.join(missing)}: on Debian 12, apt install {NEEDED_PACKAGES}"
    return _sandbox()


def _sandbox() -> str | None:
    """What a sandbox forbids, even to root; None if it allows everything needed."""
    for what, argv in (
        ("namespaces", ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "true"]),
        ("network links", ["unshare", "--net", "ip", "link", "add", "acetry", "type", "veth"]),
    ):
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode:
            return (
                f"real nodes need {what}, which {argv[0]} cannot create here: {done.stderr.strip()}"
            )
    try:
        make_cgroup(_TRIAL_CGROUP, None)
    except OSError as error:
        return f"real nodes need cgroups of their own: {error}"
    finally:
        remove_cgroup(_TRIAL_CGROUP)
    return None


CGROUP_ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000


def _hierarchies(root: Path) -> list[Path]:
    """The roots of the hierarchies: one with cgroup v2, one per controller with v1."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return [path for path in sorted(root.iterdir()) if path.is_dir() and path.name != "unified"]


def make_cgroup(name: str, cpus: float | None, root: Path = CGROUP_ROOT) -> None:
    """Make the cgroup in every hierarchy; `cpus` limits all its processes together."""
    for hierarchy in _hierarchies(root):
        folder = hierarchy / name
        folder.mkdir(exist_ok=True)
        # With v1 a cpuset must have processors before it accepts a process.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if hierarchy != root and (hierarchy / setting).exists():
                (folder / setting).write_text((hierarchy / setting).read_text())
        if cpus is not None:
            _limit(folder, cpus)


def _limit(folder: Path, cpus: float) -> None:
    quota = round(cpus * PERIOD_US)
    for name, value in (("cpu.max", f"{quota} {PERIOD_US}"), ("cpu.cfs_quota_us", str(quota))):
        if (folder / name).exists():
            (folder / name).write_text(value)


def remove_cgroup(name: str, root: Path = CGROUP_ROOT) -> None:
    """Remove the cgroup and those below it; one that still has processes stays."""
    # The runtime also creates them in the hierarchy without controllers.
    for hierarchy in [*_hierarchies(root), root / "unified"]:
        folders = [*sorted((hierarchy / name).rglob("*"), reverse=True), hierarchy / name]
        for folder in folders:
            if folder.is_dir():
                with contextlib.suppress(OSError):
                    folder.rmdir()
