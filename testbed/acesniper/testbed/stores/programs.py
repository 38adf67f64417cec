"""versitygw and the CNCF's registry, compiled from a Go module of their own into the cache."""

import hashlib
import platform
from pathlib import Path

from rich.console import Console

from acesniper.testbed.cache import cache_root, ensure_folder
from acesniper.testbed.go_build import find_go, go_build_quietly

STORES_MODULE = Path(__file__).parents[3] / "stores"
STORE_PACKAGES = (
    "github.com/versity/versitygw/cmd/versitygw",
    "github.com/distribution/distribution/v3/cmd/registry",
)


def ensure_stores() -> Path:
    """The folder with `versitygw` and `registry`; takes some minutes the first time.

    Raises:
        BinariesMissing, BuildFailed: as for the control plane.
    """
    return ensure_folder(cache_root() / "stores" / _stores_key(), _build_stores)


def _stores_key() -> str:
    files = [(STORES_MODULE / name).read_bytes() for name in ("go.mod", "go.sum")]
    return f"{platform.machine()}-{hashlib.sha256(b''.join(files)).hexdigest()[:12]}"


def _build_stores(folder: Path) -> None:
    go = find_go(STORES_MODULE)
    Console(stderr=True).print(f"Building versitygw and a registry with {go}: once, some minutes.")
    for package in STORE_PACKAGES:
        go_build_quietly(go, STORES_MODULE, folder, package)
