"""What a real node needs of this machine."""

import os
import shutil
import subprocess
from pathlib import Path

from acesniper.testbed.node import real_node

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
        real_node.make_cgroup(PROBE_CGROUP, None)
    except OSError as error:
        return f"real nodes need cgroups of their own: {error}"
    finally:
        real_node.remove_cgroup(PROBE_CGROUP)
    return None
