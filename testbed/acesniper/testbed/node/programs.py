"""kubelet, kube-proxy and pause, compiled from a Go module of their own into the cache."""

import subprocess
from pathlib import Path

from rich.console import Console

from acesniper.testbed.binaries import cache_key, kubernetes_version
from acesniper.testbed.cache import cache_root, ensure_folder
from acesniper.testbed.compile import go_build
from acesniper.testbed.errors import BuildFailed
from acesniper.testbed.toolchain import environment, find_go

MODULE = Path(__file__).parents[3] / "node"
PROGRAMS = ("kubelet", "kube-proxy")
_BINARY = "acesniper-node"


def ensure_node_programs(console: Console | None = None) -> Path:
    """The folder with kubelet, kube-proxy and pause; takes minutes the first time.

    Raises:
        BinariesMissing, BuildFailed: as for the control plane.
    """
    shown = console or Console(stderr=True)
    return ensure_folder(
        cache_root() / "node" / cache_key(MODULE), lambda folder: _build(folder, shown)
    )


def _build(folder: Path, console: Console) -> None:
    go, version = find_go(MODULE), kubernetes_version(MODULE)
    console.print(f"Building kubelet and kube-proxy {version} with {go}: once, some minutes.")
    go_build(go, MODULE, folder / _BINARY, version, console)
    for name in PROGRAMS:
        (folder / name).symlink_to(_BINARY)
    argv = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", folder / "pause", "./pause"]
    done = subprocess.run(
        [str(each) for each in argv],
        cwd=MODULE,
        env=environment(go),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BuildFailed(f"building pause failed:\n{done.stderr}")
