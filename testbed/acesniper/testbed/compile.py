"""Compiling the Go module, with something to look at meanwhile: it takes minutes."""

import subprocess
import time
from collections import deque
from pathlib import Path

from rich.console import Console

from acesniper.testbed.errors import BuildFailed
from acesniper.testbed.go_build import environment

_PLAIN_EVERY_S = 20.0
_REPORT_LINES = 30


def go_build(go: Path, module: Path, output: Path, version: str, console: Console) -> None:
    """Build `module` into the file `output` as Kubernetes `version` (such as v1.37.2).

    Raises BuildFailed with the end of the compiler's output.
    """
    argv = [go, "build", "-v", "-trimpath", "-ldflags", _ldflags(version), "-o", output, "."]
    progress = _Progress(console)
    with subprocess.Popen(
        [str(each) for each in argv],
        cwd=module,
        env=environment(go),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as build:
        last = deque[str](maxlen=_REPORT_LINES)
        with console.status(progress.text()) as status:
            for line in build.stderr or ():
                last.append(line)
                progress.saw(line)
                status.update(progress.text())
    if build.returncode:
        raise BuildFailed(f"building {module} failed:\n{''.join(last)}")
    console.print(progress.text())


def go_build_quietly(go: Path, module: Path, output: Path, package: str) -> None:
    """Build one package of `module`, with nothing to look at, into a file or a folder.

    Raises BuildFailed with the end of the compiler's output.
    """
    argv = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", output, package]
    done = subprocess.run(
        [str(each) for each in argv],
        cwd=module,
        env=environment(go),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = done.stderr.splitlines()[-_REPORT_LINES:]
        raise BuildFailed(f"building {package} failed:\n{chr(10).join(last)}")


class _Progress:
    """Counts what the Go command says: one line per module fetched or package compiled."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = self._printed = time.monotonic()
        self._fetched = self._compiled = 0

    def saw(self, line: str) -> None:
        if line.startswith("go: downloading"):
            self._fetched += 1
        elif not line.startswith(("go:", "#")):
            self._compiled += 1
        now = time.monotonic()
        if not self._console.is_terminal and now - self._printed > _PLAIN_EVERY_S:
            self._printed = now
            self._console.print(self.text())

    def text(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return (
            f"control plane: {minutes}:{seconds:02} elapsed, "
            f"{self._fetched} modules fetched, {self._compiled} packages compiled"
        )


def _ldflags(version: str) -> str:
    """What the release builds set, so that /version and `kubectl version` say what runs."""
    major, minor, _ = version.removeprefix("v").split(".", 2)
    package = "k8s.io/component-base/version"
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s", "-w", *(f"-X {package}.{key}={it}" for key, it in values.items())])
