"""kubelet, kube-proxy and pause, compiled from a Go module of their own into the cache."""

from pathlib import Path

from rich.console import Console

from acesniper.testbed.binaries import cache_key, kubernetes_version
from acesniper.testbed.cache import cache_root, ensure_folder
from acesniper.testbed.compile import go_build, go_build_quietly
from acesniper.testbed.toolchain import find_go

MODULE = Path(__file__).parents[3] / "node"
PROGRAMS = ("kubelet", "kube-proxy")
_BINARY = "acesniper-node"


def ensure_node_programs() -> Path:
    """The folder with kubelet, kube-proxy and pause; takes minutes the first time.

    Raises:
        BinariesMissing, BuildFailed: as for the control plane.
    """
    return ensure_folder(cache_root() / "node" / cache_key(MODULE), _build)


def _build(folder: Path) -> None:
    console = Console(stderr=True)
    go, version = find_go(MODULE), kubernetes_version(MODULE)
    console.print(f"Building kubelet and kube-proxy {version} with {go}: once, some minutes.")
    go_build(go, MODULE, folder / _BINARY, version, console)
    for name in PROGRAMS:
        (folder / name).symlink_to(_BINARY)
    go_build_quietly(go, MODULE, folder / "pause", "./pause")
