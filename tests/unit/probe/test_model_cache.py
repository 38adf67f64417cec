"""The cache that the pods of a node share, with real locks in real processes."""

import fcntl
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import IO

import pytest

from acesniper.domain.errors import Unavailable
from acesniper.probe.model_cache import ModelCache
from busy_cache import busy, content, digest, filling

ROOM = 1 << 20


def never(path: Path) -> object:
    raise AssertionError("it is there already")


def use(cache: ModelCache, name: str) -> None:
    with cache.held(digest(name), filling(name)):
        pass


def models(cache: ModelCache) -> set[str]:
    return {path.name for path in cache.folder.iterdir() if not path.name.startswith(".")}


def test_a_model_is_downloaded_once(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, ROOM)
    use(cache, "a")

    with cache.held(digest("a"), never) as path:
        assert path.read_bytes() == content("a")


def test_an_interrupted_download_is_never_used(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, ROOM)

    def half(path: Path) -> None:
        path.write_bytes(content("a")[:50])
        raise Unavailable("the line is dead")

    with pytest.raises(Unavailable), cache.held(digest("a"), half):
        pass

    assert models(cache) == set()
    assert not list(tmp_path.glob(".filling-*-*"))


def test_partial_files_of_killed_pods_are_removed(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, ROOM)
    left = tmp_path / f".filling-{digest('a')[0]}-killed"
    left.write_bytes(b"half")

    use(cache, "a")

    assert not left.exists()


def test_a_corrupt_model_is_downloaded_again(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, ROOM)
    use(cache, "a")
    (tmp_path / digest("a")).write_bytes(b"damaged")

    with cache.held(digest("a"), filling("a")) as path:
        assert path.read_bytes() == content("a")


def test_the_least_recently_used_model_is_removed_first(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, most_bytes=250)
    for age, name in enumerate(("a", "b")):
        use(cache, name)
        os.utime(tmp_path / digest(name), (age, age))
    with cache.held(digest("a"), never):
        pass

    use(cache, "c")

    assert models(cache) == {digest("a"), digest("c")}


def test_a_model_in_use_is_never_removed(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, most_bytes=0)

    with cache.held(digest("a"), filling("a")) as path:
        use(cache, "b")
        assert path.read_bytes() == content("a")

    assert models(cache) == set()


def test_two_pods_download_the_same_model_once(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, ROOM)
    fetches = []
    began, finish = Event(), Event()

    def slowly(path: Path) -> None:
        fetches.append(path)
        path.write_bytes(content("a")[:10])
        began.set()
        finish.wait()
        path.write_bytes(content("a"))

    def pod() -> bytes:
        with cache.held(digest("a"), slowly) as path:
            return path.read_bytes()

    with ThreadPoolExecutor(2) as pods:
        first = pods.submit(pod)
        began.wait()
        second = pods.submit(pod)
        finish.set()
        read = [first.result(), second.result()]

    assert read == [content("a")] * 2
    assert len(fetches) == 1


def test_concurrent_processes_only_see_the_requested_file(tmp_path: Path) -> None:
    start = multiprocessing.get_context("spawn")
    pods = [start.Process(target=busy, args=(tmp_path, seed)) for seed in range(4)]
    for pod in pods:
        pod.start()
    for pod in pods:
        pod.join()

    assert [pod.exitcode for pod in pods] == [0, 0, 0, 0]
    assert sum(path.stat().st_size for path in tmp_path.iterdir() if path.is_file()) <= 2 * 5000


def test_a_model_removed_before_it_is_locked_is_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ModelCache(tmp_path, ROOM)
    use(cache, "a")
    removed: list[Path] = []

    def late(file: IO[bytes], operation: int) -> None:
        if operation == fcntl.LOCK_SH and not removed:
            removed.append(tmp_path / digest("a"))
            removed[0].unlink()
        flock(file, operation)

    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", late)

    with cache.held(digest("a"), filling("a")) as path:
        assert path.read_bytes() == content("a")


def test_a_read_only_folder_is_not_used_as_a_cache(tmp_path: Path) -> None:
    assert ModelCache(tmp_path, ROOM).usable()
    assert not ModelCache(tmp_path / "none", ROOM).usable()
