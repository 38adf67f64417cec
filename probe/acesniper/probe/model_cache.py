"""A node's cache of models: a folder that the pods on it share, by digest.

Locks say what happens, and the kernel lets go of them when a process ends, however it ends:

- who fills holds one of sixteen lock files, so that two pods do not fetch the same model twice;
- who uses a model holds a shared lock on its file, and a model is only removed by who can get an
  exclusive one: never while a running pod uses it.

A file gets its name when it is whole: what was cut off never has one.
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
"""Writes a model's file, or raises; what it wrote has the digest that was asked for."""


@dataclass(frozen=True, slots=True)
class ModelCache:
    """What stays in `folder` has at most `most_bytes`; models in use come on top."""

    folder: Path
    most_bytes: int

    def usable(self) -> bool:
        """Whether files can be made there; a node without a cache has a folder of root's."""
        return os.access(self.folder, os.R_OK | os.W_OK | os.X_OK)

    @contextmanager
    def held(self, sha256: str, fill: Fill) -> Iterator[Path]:
        """The model's file, filled if it is not there, kept from being removed meanwhile."""
        with self._open(sha256) or self._filled(sha256, fill) as file:
            os.utime(file.fileno())
            yield self._path(sha256)
        self._trim()

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256

    def _open(self, sha256: str) -> IO[bytes] | None:
        """The file with a shared lock; None if there is none, or one that is damaged."""
        path = self._path(sha256)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        fcntl.flock(file, fcntl.LOCK_SH)
        if os.fstat(file.fileno()).st_nlink == 0:
            file.close()  # removed in the moment before
            return None
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            log.warning("%s is damaged in the cache; it is fetched again", sha256)
            path.unlink(missing_ok=True)
            file.close()
            return None
        return file

    def _filled(self, sha256: str, fill: Fill) -> IO[bytes]:
        """The file, once this process or the one that is at it has filled it."""
        stem = f".filling-{sha256[0]}"
        with (self.folder / f"{stem}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (there := self._open(sha256)) is not None:
                return there
            for left in self.folder.glob(f"{stem}-*"):
                left.unlink(missing_ok=True)  # by a pod that was killed
            return self._fill(sha256, fill, stem)

    def _fill(self, sha256: str, fill: Fill, stem: str) -> IO[bytes]:
        handle, name = tempfile.mkstemp(prefix=f"{stem}-", dir=self.folder)
        os.close(handle)
        partial = Path(name)
        try:
            fill(partial)
            file = partial.open("rb")
            # Before it has its name, so that nobody removes it in between.
            fcntl.flock(file, fcntl.LOCK_SH)
            os.fsync(file.fileno())
            partial.rename(self._path(sha256))
        finally:
            partial.unlink(missing_ok=True)
        self._trim()
        return file

    def _trim(self) -> None:
        """Remove models that nobody uses, those used longest ago first, until the rest fits."""
        models = [each for each in self.folder.iterdir() if not each.name.startswith(".")]
        seen = sorted((_last_used(each), each) for each in models)
        held_bytes = sum(size for (_, size), _ in seen)
        for (_, size), path in seen:
            if held_bytes <= self.most_bytes:
                return
            if _removed(path):
                held_bytes -= size


def _last_used(path: Path) -> tuple[float, int]:
    """When a model was last used, and its size; nothing of one that is just gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0.0, 0
    return found.st_mtime, found.st_size


def _removed(path: Path) -> bool:
    """Remove a model unless a process uses it."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True
