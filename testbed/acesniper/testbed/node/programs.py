"""kubelet, kube-proxy and pause, compiled from a Go module of their own into the cache."""

from pathlib import Path

from rich.console import Console

from acesniper.testbed.cache import cache_root, ensure_folder
from acesniper.testbed.go_build import find_go, go_build, go_build_quietly
from acesniper.testbed.programs import cache_key, kubernetes_version

NODE_MODULE = Path(__file__).parents[3] / "node"
NODE_PROGRAMS = ("kubelet", "kube-proxy")
_NODE_BINARY = "acesniper-node"


def ensure_node_programs() -> Path:
    """The folder with kubelet, kube-proxy and pause; takes minutes the first time.

    Raises:
        BinariesMissing, BuildFailed: as for the control plane.
    """
    return ensure_folder(cache_root() / "node" / cache_key(NODE_MODULE), _build_node_programs)


def _build_node_programs(folder: Path) -> None:
    console = Console(stderr=True)
    go, version = find_go(NODE_MODULE), kubernetes_version(NODE_MODULE)
    console.print(f"Building kubelet and kube-proxy {version} with {go}: once, some minutes.")
    go_build(go, NODE_MODULE, folder / _NODE_BINARY, version, console)
    for name in NODE_PROGRAMS:
        (folder / name).symlink_to(_NODE_BINARY)
    go_build_quietly(go, NODE_MODULE, folder / "pause", "./pause")
