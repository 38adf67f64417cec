from pathlib import Path

import pytest

from acesniper.testbed.errors import BinariesMissing
from acesniper.testbed.go_build import find_go, go_environment, required_version


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "go.mod").write_text("module x\n\ngo 1.26.0\n")
    return tmp_path


def fake_go(folder: Path, version: str) -> Path:
    folder.mkdir()
    go = folder / "go"
    go.write_text(f"#!/bin/sh\necho {version}\n")
    go.chmod(0o755)
    return go


def test_the_required_version_is_that_of_go_mod(module: Path) -> None:
    assert required_version(module) == (1, 26, 0)


@pytest.mark.parametrize("version", ["go1.26.0", "go1.26.8", "go1.27.1", "go2.0.0"])
def test_a_recent_go_on_path_is_used(
    module: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    go = fake_go(module / "bin", version)
    monkeypatch.setenv("PATH", str(go.parent))

    assert find_go(module) == go


def test_an_old_go_is_skipped(module: Path) -> None:
    old = fake_go(module / "old", "go1.19.8")
    new = fake_go(module / "new", "go1.27.3")

    assert find_go(module, [old, new]) == new


def test_without_a_recent_go_the_error_lists_what_was_found(module: Path) -> None:
    old = fake_go(module / "bin", "go1.19.8")

    with pytest.raises(BinariesMissing) as caught:
        find_go(module, [old])

    assert "Go 1.26.0 or newer" in str(caught.value)
    assert "go is 1.19.8" in str(caught.value)
    assert "make control-plane" in str(caught.value)
    assert "ACESNIPER_CONTROL_PLANE" in str(caught.value)


def test_go_downloads_no_toolchain_and_keeps_go_mod(tmp_path: Path) -> None:
    environ = go_environment(tmp_path / "go")

    assert environ["GOTOOLCHAIN"] == "local"
    assert environ["GOFLAGS"] == "-mod=readonly"
    assert environ["PATH"].startswith(f"{tmp_path}:")
