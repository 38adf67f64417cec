"""The programs that the testbed runs: built or downloaded once into the user's cache.

- The control plane, and kubelet and kube-proxy for real nodes: two binaries of one Go module, so
  that both are compiled from the same versions of the same packages.
- versitygw and the CNCF's registry: from a Go module with their versions.
- kubectl, helm and promtool: linked into a folder for the developer.
"""

import hashlib
import os
import platform
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from acesniper.testbed import packages
from acesniper.testbed.cache import cache_root, ensure_folder
from acesniper.testbed.errors import BinariesMissing
from acesniper.testbed.go_build import build_kubernetes, build_quietly

_SOURCES = Path(__file__).parents[2]
KUBERNETES = _SOURCES / "kubernetes"
"""The Go module of control plane and node, in a checkout of the sources."""
STORES = _SOURCES / "stores"
"""The Go module that pins the stores."""

PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kwok",
)
NODE_PROGRAMS = ("kubelet", "kube-proxy")
STORE_PACKAGES = (
    "github.com/versity/versitygw/cmd/versitygw",
    "github.com/distribution/distribution/v3/cmd/registry",
)
VARIABLE = "ACESNIPER_CONTROL_PLANE"
"""The environment variable that names a folder of prebuilt programs."""

Build = Callable[[Path, str, Path, str, Console], None]
"""Builds a package of a module into a file, as a version of Kubernetes; see `build_kubernetes`."""

# --- control plane and node -----------------------------------------------------------------------


def ensure_binaries(
    environ: Mapping[str, str] = os.environ,
    module: Path = KUBERNETES,
    console: Console | None = None,
    *,
    build: Build = build_kubernetes,
) -> Path:
    """The folder with the control plane's programs; building them takes minutes.

    Raises:
        BinariesMissing: there is no compiler, or no source to build from.
        BuildFailed: the build failed.
    """
    if prebuilt := environ.get(VARIABLE):
        return _checked(Path(prebuilt))
    if not (module / "go.mod").is_file():
        raise BinariesMissing(
            f"no Go module at {module} (is this an installed wheel instead of a checkout?): set "
            f"{VARIABLE} to a folder with {', '.join(PROGRAMS)}"
        )

    def fill(folder: Path) -> None:
        _build_linked(build, module, "controlplane", PROGRAMS, folder, console)

    return ensure_folder(cache_root() / "control-plane" / cache_key(module, "controlplane"), fill)


def ensure_node_programs() -> Path:
    """The folder with kubelet, kube-proxy and pause; building them takes minutes.

    Raises:
        BinariesMissing, BuildFailed: as for the control plane.
    """

    def fill(folder: Path) -> None:
        _build_linked(build_kubernetes, KUBERNETES, "node", NODE_PROGRAMS, folder, None)
        build_quietly(KUBERNETES, "./pause", folder / "pause")

    return ensure_folder(cache_root() / "node" / cache_key(KUBERNETES, "node", "pause"), fill)


def kubernetes_version(module: Path = KUBERNETES) -> str:
    """The Kubernetes version that go.mod requires, such as v1.37.2."""
    line = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (module / "go.mod").read_text(), re.M)
    if line is None:
        raise BinariesMissing(f"{module / 'go.mod'} does not require k8s.io/kubernetes")
    return line[1]


def cache_key(module: Path, *packages: str) -> str:
    """Version, machine and a hash of what is compiled: the packages' files, go.mod and go.sum."""
    sources = [path for package in packages for path in (module / package).glob("*.go")]
    digest = hashlib.sha256()
    for path in sorted([*sources, module / "go.mod", module / "go.sum"]):
        digest.update(f"{path.relative_to(module)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{kubernetes_version(module)}-{platform.machine()}-{digest.hexdigest()[:12]}"


def _checked(folder: Path) -> Path:
    missing = [name for name in PROGRAMS if not os.access(folder / name, os.X_OK)]
    if missing:
        raise BinariesMissing(f"{VARIABLE}={folder} lacks {', '.join(missing)}")
    return folder.resolve()


def _build_linked(
    build: Build,
    module: Path,
    package: str,
    names: tuple[str, ...],
    folder: Path,
    console: Console | None,
) -> None:
    """Build a package into one binary, and link every program's name to it."""
    binary = f"acesniper-{package}"
    shown = console or Console(stderr=True)
    version = kubernetes_version(module)
    shown.print(f"Building {', '.join(names)} (Kubernetes {version}): once, some minutes.")
    build(module, f"./{package}", folder / binary, version, shown)
    for name in names:
        (folder / name).symlink_to(binary)


# --- stores ---------------------------------------------------------------------------------------


def ensure_stores() -> Path:
    """The folder with `versitygw` and `registry`; building them takes some minutes.

    Raises:
        BinariesMissing, BuildFailed: as for the control plane.
    """
    files = [(STORES / name).read_bytes() for name in ("go.mod", "go.sum")]
    key = f"{platform.machine()}-{hashlib.sha256(b''.join(files)).hexdigest()[:12]}"
    return ensure_folder(cache_root() / "stores" / key, _build_stores)


def _build_stores(folder: Path) -> None:
    Console(stderr=True).print("Building versitygw and a registry: once, some minutes.")
    for package in STORE_PACKAGES:
        build_quietly(STORES, package, folder)


# --- the developer's tools ------------------------------------------------------------------------


def install_tools(folder: Path) -> list[Path]:
    """Link kubectl, helm and promtool into `folder` and return the links.

    Raises:
        BinariesMissing: a tool can neither be downloaded nor is it on PATH.
    """
    programs = {
        "kubectl": ensure_binaries() / "kubectl",
        "helm": ensure_helm(folder),
        "promtool": _cached_or_on_path(
            "promtool", packages.prometheus_cache_key(), packages.fetch_prometheus, folder
        ),
    }
    return [_link(folder / name, program) for name, program in programs.items()]


def ensure_helm(links: Path | None = None) -> Path:
    """The path of helm; a link in the folder `links` does not count as found on PATH.

    Raises:
        BinariesMissing: it can neither be downloaded nor is it on PATH.
    """
    return _cached_or_on_path(
        "helm", packages.helm_cache_key(), packages.fetch_helm, links or Path()
    )


def _cached_or_on_path(name: str, key: str, fetch: Callable[[Path], None], links: Path) -> Path:
    """A program from the cache, downloaded by `fetch` if need be; otherwise the one on PATH."""
    try:
        return ensure_folder(cache_root() / "tools" / key, fetch) / name
    except BinariesMissing as missing:
        elsewhere = [path for path in os.get_exec_path() if Path(path).resolve() != links.resolve()]
        program = shutil.which(name, path=os.pathsep.join(elsewhere))
        if program is None:
            raise BinariesMissing(f"{name} is not on PATH, and {missing}") from missing
        return Path(program)


def _link(link: Path, program: Path) -> Path:
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    return link
