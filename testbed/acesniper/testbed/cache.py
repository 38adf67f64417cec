"""Folders in the user's cache: either complete or absent, and filled by one process at a time."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/acesniper`, or `~/.cache/acesniper`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "acesniper"


def ensure_folder(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return `folder`; if it is absent, `fill` creates its content first.

    `fill` writes into a temporary folder, which is renamed after it returned: a failure or a crash
    leaves no partial result. Concurrent processes wait for the one that fills.
    """
    if folder.is_dir():
        return folder
    with _locked(folder):
        if folder.is_dir():
            return folder
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            fill(partial)
            partial.chmod(0o755)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock file next to `folder`; the kernel releases it when the process ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
