import io
import platform
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from acesniper.testbed.errors import BinariesMissing
from acesniper.testbed.programs import PROGRAMS, cache_key, ensure_binaries, kubernetes_version

PACKAGE = "controlplane"
GO_MOD = "module x\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/kubernetes v1.37.2\n)\n"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text(GO_MOD)
    (folder / "go.sum").write_text("sums\n")
    (folder / PACKAGE).mkdir()
    (folder / PACKAGE / "main.go").write_text("package main\n")
    return folder


@pytest.fixture
def prebuilt(tmp_path: Path) -> Path:
    folder = tmp_path / "prebuilt"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).touch(mode=0o755)
    return folder


def test_the_key_starts_with_the_version_and_the_machine(module: Path) -> None:
    assert cache_key(module, PACKAGE).startswith(f"v1.37.2-{platform.machine()}-")


@pytest.mark.parametrize("name", ["go.mod", "go.sum", "controlplane/main.go"])
def test_the_key_changes_with_every_file_that_is_compiled(module: Path, name: str) -> None:
    before = cache_key(module, PACKAGE)

    with (module / name).open("a") as file:
        file.write("// more\n")

    assert cache_key(module, PACKAGE) != before


def test_the_key_changes_with_a_new_source_file(module: Path) -> None:
    before = cache_key(module, PACKAGE)

    (module / PACKAGE / "kwok.go").write_text("package main\n")

    assert cache_key(module, PACKAGE) != before


def test_the_key_ignores_the_path_of_the_module(module: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(module, copy)

    assert cache_key(copy, PACKAGE) == cache_key(module, PACKAGE)


def test_a_module_without_kubernetes_is_refused(module: Path) -> None:
    (module / "go.mod").write_text("module x\n\ngo 1.26.0\n")

    with pytest.raises(BinariesMissing, match=r"does not require k8s\.io/kubernetes"):
        kubernetes_version(module)


def test_a_prebuilt_folder_is_used_unchanged(prebuilt: Path, tmp_path: Path) -> None:
    environ = {"ACESNIPER_CONTROL_PLANE": str(prebuilt)}

    assert ensure_binaries(environ, module=tmp_path / "absent") == prebuilt


def test_an_incomplete_prebuilt_folder_names_missing_programs(prebuilt: Path) -> None:
    (prebuilt / "kwok").unlink()
    (prebuilt / "etcd").chmod(0o644)

    with pytest.raises(BinariesMissing, match="lacks etcd, kwok"):
        ensure_binaries({"ACESNIPER_CONTROL_PLANE": str(prebuilt)})


def test_without_sources_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BinariesMissing, match="set ACESNIPER_CONTROL_PLANE to a folder with etcd"):
        ensure_binaries({}, module=tmp_path)


def test_the_key_ignores_the_files_of_other_packages(module: Path) -> None:
    before = cache_key(module, PACKAGE)

    (module / "node").mkdir()
    (module / "node/main.go").write_text("package main\n")

    assert cache_key(module, PACKAGE) == before


def test_programs_are_built_once_and_linked_to_the_binary(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[str, str]] = []

    def compile_nothing(
        module: Path, package: str, output: Path, version: str, console: Console
    ) -> None:
        built.append((package, version))
        output.touch(mode=0o755)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    console = Console(file=io.StringIO())

    first = ensure_binaries({}, module, console, build=compile_nothing)
    second = ensure_binaries({}, module, console, build=compile_nothing)

    assert (
        first == second == tmp_path / "cache/acesniper/control-plane" / cache_key(module, PACKAGE)
    )
    assert built == [("./controlplane", "v1.37.2")]
    assert all((first / name).resolve().name == "acesniper-controlplane" for name in PROGRAMS)
