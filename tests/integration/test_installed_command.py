"""The command as users install it: from the wheel, in an environment without the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from uv import find_uv_bin

from acesniper.cli.commands import COMMANDS, application

ROOT = Path(__file__).parents[2]


def command_lines() -> Iterator[tuple[str, ...]]:
    """The words of every command, sub-commands of groups included."""
    for name in COMMANDS:
        yield (name,)
        group = typer.main.get_command(application([name]))
        # typer types it as a command, although an application with sub-commands is a group.
        command = group.commands[name]  # type: ignore[attr-defined]
        yield from ((name, nested) for nested in getattr(command, "commands", ()))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


class Environment:
    """A virtual environment with the wheel and the dependencies of the one that runs the tests."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        venv.create(folder, symlinks=True)
        self.bin = folder / "bin"
        self.work = folder / "work"
        self.work.mkdir()
        install = [find_uv_bin(), "pip", "install", "--quiet", "--offline", "--no-deps"]
        subprocess.run([*install, "--python", str(self.bin / "python"), str(wheel)], check=True)
        # Only the folder: its .pth files, which lead to the checkout, are not read from here.
        (packages,) = folder.glob("lib/*/site-packages")
        (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")

    def run(self, program: str, *arguments: str) -> str:
        """Run a program outside the checkout; returns what it prints."""
        hidden = ("PYTHONPATH", "KUBECONFIG")
        variables = {name: value for name, value in os.environ.items() if name not in hidden}
        done = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.work,
            env={**variables, "HOME": str(self.work), "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    made = Environment(tmp_path_factory.mktemp("environment"), wheel)
    shutil.copy(ROOT / "examples/models/squeezenet1_1.onnx", made.work / "model.onnx")
    shutil.copy(ROOT / "examples/devices/ort-1t.yaml", made.work / "device.yaml")
    return made


def test_the_wheel_contains_no_testbed_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packages = {name.split("/")[1] for name in archive.namelist() if "/" in name}

    assert {"cli", "operator", "extender"} <= packages
    assert not {"testbed", "tests"} & packages


def test_the_environment_imports_the_wheel_not_the_checkout(environment: Environment) -> None:
    program = "import acesniper.cli, sys; print(acesniper.cli.__file__, *sys.path, sep='\\n')"

    imported, *path = environment.run("python", "-c", program).splitlines()

    assert Path(imported).is_relative_to(environment.bin.parent)
    folders = [Path(entry) for entry in path if entry]
    checkout = {ROOT, *(ROOT / part for part in ("core", "cli", "testbed"))}
    assert not checkout & set(folders)


@pytest.mark.parametrize("words", tuple(command_lines()), ids=" ".join)
def test_every_command_prints_its_help(environment: Environment, words: tuple[str, ...]) -> None:
    shown = environment.run("acesniper", *words, "--help")

    assert f"Usage: acesniper {' '.join(words)}" in shown


def test_the_kubectl_plugin_is_installed(environment: Environment) -> None:
    assert "Usage: kubectl acesniper" in environment.run("kubectl-acesniper", "--help")


def test_model_profile_and_predict_need_files_only(environment: Environment) -> None:
    profile = json.loads(environment.run("acesniper", "model", "profile", "model.onnx", "--json"))
    predicted = environment.run(
        "acesniper", "predict", "model.onnx", "--device", "device.yaml", "--json"
    )

    assert profile
    (device,) = json.loads(predicted)["devices"]
    assert device["low_s"] < device["latency_s"] < device["high_s"]


def test_run_executes_a_model(environment: Environment) -> None:
    report = json.loads(environment.run("acesniper", "run", "model.onnx", "--inferences", "2"))

    assert report["inferences"] == 2


def test_simulate_compares_policies(environment: Environment) -> None:
    rows = [f"d{device},m{model},{device + model + 1}" for device in range(3) for model in range(4)]
    (environment.work / "table.csv").write_text("\n".join(["device,model,latency_ms", *rows]))

    shown = environment.run(
        "acesniper",
        "simulate",
        "--latencies",
        "table.csv",
        "--compare",
        "--tasks",
        "40",
        "--jobs",
        "1",
        "--json",
    )

    assert len(json.loads(shown)) > 1
