"""Models of a few bytes, and a process that keeps using them through a node's cache."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from acesniper.probe.model_cache import ModelCache


def content(name: str, size: int = 100) -> bytes:
    return name.encode().ljust(size, b".")


def digest(name: str, size: int = 100) -> str:
    return hashlib.sha256(content(name, size)).hexdigest()


def filling(name: str, size: int = 100) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content(name, size))


def busy(folder: Path, seed: int) -> None:
    """Use models in rotation, in a cache with room for two of five."""
    cache = ModelCache(folder, most_bytes=2 * 5000)
    for turn in range(40):
        names = [f"model-{(seed * 7 + turn * step) % 5}" for step in (1, 3)]
        with ExitStack() as stack:
            for name in dict.fromkeys(names):
                path = stack.enter_context(cache.held(digest(name, 5000), filling(name, 5000)))
                assert path.read_bytes() == content(name, 5000)
