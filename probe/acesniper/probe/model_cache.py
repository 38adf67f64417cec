"""Model cache of a node: a folder shared by the pods on it, with one file per digest.

Coordination is by file locks, which the kernel releases whenever a process ends:

- a process that fills an entry holds one of sixteen lock files, so that no two pods download the
  same model;
- a process that uses a model holds a shared lock on its file, and removing it needs an exclusive
  one, so that no model is removed while a running pod uses it.

A file gets its final name once it is complete.
"""

import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

Fill = Callable[[Path], object]
"""Writes a model's file with the requested digest, or raises."""


@dataclass(frozen=True, slots=True)
class ModelCache:
    """Cache in `folder` of at most `most_bytes`, not counting models in use."""

    folder: Path
    most_bytes: int

    def usable(self) -> bool:
        """Whether the folder is writable; on a node without a cache it belongs to root."""
        return os.access(self.folder, os.R_OK | os.W_OK | os.X_OK)

    @contextmanager
    def held(self, sha256: str, fill: Fill) -> Iterator[Path]:
        """The model's file, filled if missing, and protected from removal inside the block."""
        with self._open(sha256) or self._filled(sha256, fill) as file:
            os.utime(file.fileno())
            yield self._path(sha256)
        self._trim()

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256

    def _open(self, sha256: str) -> IO[bytes] | None:
        """The file with a shared lock; None if it is missing or corrupt."""
        path = self._path(sha256)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        fcntl.flock(file, fcntl.LOCK_SH)
        if os.fstat(file.fileno()).st_nlink == 0:
            file.close()  # removed between opening and locking it
            return None
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            log.warning("model %s is corrupt in the cache; downloading it again", sha256)
            path.unlink(missing_ok=True)
            file.close()
            return None
        return file

    def _filled(self, sha256: str, fill: Fill) -> IO[bytes]:
        """The file, filled by this process or by another that is filling it."""
        stem = f".filling-{sha256[0]}"
        with (self.folder / f"{stem}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (file := self._open(sha256)) is not None:
                return file
            for partial in self.folder.glob(f"{stem}-*"):
                partial.unlink(missing_ok=True)  # left by a pod that was killed
            return self._fill(sha256, fill, stem)

    def _fill(self, sha256: str, fill: Fill, stem: str) -> IO[bytes]:
        handle, name = tempfile.mkstemp(prefix=f"{stem}-", dir=self.folder)
        os.close(handle)
        partial = Path(name)
        try:
            fill(partial)
            file = partial.open("rb")
            # Locked before it is renamed, so that no other process can remove it.
            fcntl.flock(file, fcntl.LOCK_SH)
            os.fsync(file.fileno())
            partial.rename(self._path(sha256))
        finally:
            partial.unlink(missing_ok=True)
        self._trim()
        return file

    def _trim(self) -> None:
        """Remove unused models, least recently used first, until the rest fits."""
        models = [path for path in self.folder.iterdir() if not path.name.startswith(".")]
        by_age = sorted((_last_used(path), path) for path in models)
        held_bytes = sum(size for (_, size), _ in by_age)
        for (_, size), path in by_age:
            if held_bytes <= self.most_bytes:
                return
            if _removed(path):
                held_bytes -= size


def _last_used(path: Path) -> tuple[float, int]:
    """Time of last use of a model, and its size; zeros if it was just removed."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return 0.0, 0
    return stat.st_mtime, stat.st_size


def _removed(path: Path) -> bool:
    """Remove a model unless a process uses it; whether it was removed."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True
