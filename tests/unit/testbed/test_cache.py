import threading
from pathlib import Path

import pytest

from acesniper.testbed.cache import cache_root, ensure_folder


def test_the_root_follows_the_xdg_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_root() == Path("/somewhere/acesniper")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_root() == Path("/home/someone/.cache/acesniper")


def test_a_failed_fill_leaves_no_complete_folder(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        ensure_folder(tmp_path / "key", fail)

    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def test_concurrent_callers_fill_once(tmp_path: Path) -> None:
    filled: list[Path] = []
    started, proceed = threading.Event(), threading.Event()

    def fill(folder: Path) -> None:
        filled.append(folder)
        started.set()
        assert proceed.wait(10)

    threads = [
        threading.Thread(target=ensure_folder, args=(tmp_path / "key", fill)) for _ in range(2)
    ]
    threads[0].start()
    assert started.wait(10)
    threads[1].start()
    proceed.set()
    for thread in threads:
        thread.join(10)

    assert len(filled) == 1
    assert (tmp_path / "key").is_dir()
