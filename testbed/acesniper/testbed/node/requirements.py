"""What a real node needs of this machine."""

import os
import shutil
from pathlib import Path

PROGRAMS = ("buildah", "podman", "debootstrap", "containerd", "runc", "iptables", "conntrack", "ip")
CNI_PLUGINS = Path("/usr/lib/cni")
PACKAGES = (
    "buildah podman debootstrap containerd runc containernetworking-plugins iptables conntrack"
    " iproute2"
)


def missing_for_nodes() -> str | None:
    """What is missing, as a sentence; None when nodes can be started."""
    if os.geteuid() != 0:
        return "real nodes need root"
    missing = [each for each in PROGRAMS if shutil.which(each) is None]
    if not (CNI_PLUGINS / "bridge").exists():
        missing.append(f"{CNI_PLUGINS}/bridge")
    if missing:
        return f"real nodes need {', '.join(missing)}: on Debian 12, apt install {PACKAGES}"
    return None
