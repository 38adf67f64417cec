"""What commands import before they do anything; `benchmarks/startup.py` measures the time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acesniper.cli.commands import COMMANDS

SLOW = (
    "aiohttp",
    "kubernetes",
    "numpy",
    "onnx",
    "onnxruntime",
    "pydantic",
    "rich",
    "torch",
    "yaml",
)
"""Packages whose import takes longer than typer's."""
KUBECONFIG = """
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: x}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


def imported(*arguments: str, **variables: str) -> set[str]:
    """The slow packages that a command line imports."""
    program = (
        "import sys\n"
        "from acesniper.cli.__main__ import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print(*(name for name in {SLOW} if name in sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.splitlines()[-1].split())


def test_the_help_imports_no_slow_package() -> None:
    assert imported("--help") == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_imports_no_slow_package(name: str) -> None:
    assert imported(name, "--help") == set()


@pytest.mark.parametrize("line", ["acesniper do", "acesniper top --wa"])
def test_completion_imports_no_slow_package(line: str) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}

    assert imported(_ACESNIPER_COMPLETE="complete_bash", **words) == set()


@pytest.mark.parametrize(
    "words",
    [("top",), ("plan",), ("explain", "task"), ("network", "status"), ("doctor",)],
    ids=" ".join,
)
def test_a_first_request_needs_no_models_of_resources(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(KUBECONFIG)

    # The server refuses the connection, so that the command ends at its first request.
    assert imported(*words, "--kubeconfig", str(kubeconfig)) == {"aiohttp", "yaml"}
