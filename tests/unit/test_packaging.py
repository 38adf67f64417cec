"""Layout rules that allow a folder named operator/ in spite of the stdlib module."""

import operator
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HATCH = PROJECT["tool"]["hatch"]["build"]
PARTS: list[str] = HATCH["dev-mode-dirs"]
PACKAGES = [
    package
    for part in PARTS
    for package in sorted((ROOT / part / "acesniper").iterdir())
    if package.name != "__pycache__"
]


def test_stdlib_operator_wins_in_the_repo_root() -> None:
    code = "import operator; print(operator.__file__)"
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)

    assert Path(printed.strip()).parent == Path(sysconfig.get_path("stdlib"))
    assert operator.add(1, 1) == 2


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_a_plain_folder_around_a_namespace(part: str) -> None:
    assert not (ROOT / part / "__init__.py").exists()
    assert not (ROOT / part / "acesniper" / "__init__.py").exists()


@pytest.mark.parametrize("part", PARTS)
def test_no_module_is_next_to_the_namespace(part: str) -> None:
    assert list((ROOT / part).glob("*.py")) == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_package_is_regular_and_typed(package: Path) -> None:
    assert (package / "__init__.py").exists()
    assert (package / "py.typed").exists()


def test_the_wheel_contains_every_part_except_the_testbed() -> None:
    packages = [f"{part}/acesniper" for part in PARTS if part != "testbed"]

    assert HATCH["targets"]["wheel"]["packages"] == packages


def test_linter_and_type_checker_cover_all_parts() -> None:
    tools = PROJECT["tool"]

    assert set(PARTS) <= set(tools["ruff"]["src"])
    assert set(PARTS) <= set(tools["mypy"]["mypy_path"])
    assert set(PARTS) <= set(tools["mypy"]["files"])


def test_the_import_contracts_cover_every_package() -> None:
    contracts = PROJECT["tool"]["importlinter"]

    assert {f"acesniper.{package.name}" for package in PACKAGES} == set(contracts["root_packages"])


def test_no_script_shadows_the_operator_module() -> None:
    tracked = subprocess.check_output(["git", "ls-files", "*.py"], cwd=ROOT, text=True).split()

    assert [path for path in tracked if Path(path).name == "operator.py"] == []


def test_the_lock_has_hashes_and_names_no_download_addresses() -> None:
    locks = sorted((ROOT / "requirements").glob("*.txt"))

    assert {"bootstrap", "dev", "operator", "extender", "probe"} <= {lock.stem for lock in locks}
    for lock in locks:
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
