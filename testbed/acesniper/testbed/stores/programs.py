"""versitygw and the CNCF's registry, compiled from a Go module of their own into the cache."""

import hashlib
import platform
import subprocess
from pathlib import Path

from rich.console import Console

from acesniper.testbed.cache import cache_root, ensure_folder
from acesniper.testbed.errors import BuildFailed
from acesniper.testbed.toolchain import environment, find_go

MODULE = Path(__file__).parents[3] / "stores"
PACKAGES = (
    "github.com/versity/versitygw/cmd/versitygw",
    "github.com/distribution/distribution/v3/cmd/registry",
)


def ensure_stores(console: Console | None = None) -> Path:
    """The folder with `versitygw` and `registry`; takes some minutes the first time.

    Raises:
        BinariesMissing, BuildFailed: as for the control plane.
    """
    shown = console or Console(stderr=True)
    return ensure_folder(cache_root() / "stores" / _key(), lambda folder: _build(folder, shown))


def _key() -> str:
    files = [(MODULE / name).read_bytes() for name in ("go.mod", "go.sum")]
    return f"{platform.machine()}-{hashlib.sha256(b''.join(files)).hexdigest()[:12]}"


def _build(folder: Path, console: Console) -> None:
    go = find_go(MODULE)
    console.print(f"Building versitygw and a registry with {go}: once, some minutes.")
    for package in PACKAGES:
        argv = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", folder, package]
        done = subprocess.run(
            [str(each) for each in argv],
            cwd=MODULE,
            env=environment(go),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise BuildFailed(f"building {package} failed:\n{done.stderr[-3000:]}")
