"""Where the control-plane programs are: prebuilt, cached, or built now."""

import hashlib
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from acesniper.testbed.cache import cache_root, ensure_folder
from acesniper.testbed.errors import BinariesMissing
from acesniper.testbed.go_build import MODULE, find_go, go_build

PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kwok",
)
VARIABLE = "ACESNIPER_CONTROL_PLANE"
"""The environment variable that names a folder of prebuilt programs."""

_BINARY = "acesniper-control-plane"


def ensure_binaries(
    environ: Mapping[str, str] = os.environ, module: Path = MODULE, console: Console | None = None
) -> Path:
    """The folder with the programs; takes minutes when they have to be built.

    Raises BinariesMissing or BuildFailed.
    """
    prebuilt = environ.get(VARIABLE)
    if prebuilt:
        return _checked(Path(prebuilt))
    if not (module / "go.mod").is_file():
        raise BinariesMissing(
            f"no Go module at {module} (is this an installed wheel, not a checkout?): set "
            f"{VARIABLE} to a folder with {', '.join(PROGRAMS)}"
        )
    shown = console or Console(stderr=True)
    return ensure_folder(
        cache_root() / "control-plane" / cache_key(module),
        lambda folder: _build(module, folder, shown),
    )


def kubernetes_version(module: Path = MODULE) -> str:
    """The Kubernetes version that go.mod requires, such as v1.37.2."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (module / "go.mod").read_text(), re.M)
    if found is None:
        raise BinariesMissing(f"{module / 'go.mod'} does not require k8s.io/kubernetes")
    return found[1]


def cache_key(module: Path = MODULE) -> str:
    """Version, machine and a hash of all that is compiled: the module's files, sums included."""
    digest = hashlib.sha256()
    for path in sorted([*module.glob("*.go"), module / "go.mod", module / "go.sum"]):
        digest.update(f"{path.name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{kubernetes_version(module)}-{platform.machine()}-{digest.hexdigest()[:12]}"


def _checked(folder: Path) -> Path:
    missing = [name for name in PROGRAMS if not os.access(folder / name, os.X_OK)]
    if missing:
        raise BinariesMissing(f"{VARIABLE}={folder} lacks {', '.join(missing)}")
    return folder.resolve()


def _build(module: Path, folder: Path, console: Console) -> None:
    go = find_go(module)
    version = kubernetes_version(module)
    console.print(f"Building Kubernetes {version}, etcd and KWOK with {go}: once, some minutes.")
    go_build(go, module, folder / _BINARY, version, console)
    for name in PROGRAMS:
        (folder / name).symlink_to(_BINARY)
