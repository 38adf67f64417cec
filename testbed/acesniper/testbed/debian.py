"""Programs from Debian's packages, downloaded and unpacked without root."""

import platform
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from acesniper.testbed.errors import BinariesMissing


def release() -> str:
    """The distribution's release: it decides which versions apt gives."""
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return "unknown"
    return f"{found['ID']}-{found.get('VERSION_ID', 'rolling')}"


def unpack(packages: Sequence[str], folder: Path, *, alone: bool = False) -> None:
    """Unpack packages into `folder`, with what they depend on and this machine lacks.

    `alone` leaves out what they depend on. Raises BinariesMissing where apt or a package is absent.
    """
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        apt = _private_apt(work)
        wanted = [*packages]
        try:
            _run(["apt-get", *apt, "update"], work)
            if alone:
                _run(["apt-get", *apt, "download", *wanted], work)
            else:
                flags = ["--download-only", "--no-install-recommends", "--reinstall", "--yes"]
                _run(["apt-get", *apt, *flags, "install", *wanted], work)
            for package in sorted(work.rglob("*.deb")):
                _run(["dpkg-deb", "-x", str(package), str(folder)], work)
        except subprocess.CalledProcessError as failed:
            raise BinariesMissing(f"apt cannot fetch {wanted}:\n{failed.stderr}") from failed
        except FileNotFoundError as absent:
            raise BinariesMissing(f"there is no {absent.filename} to fetch with") from absent


def _private_apt(work: Path) -> list[str]:
    """Options that give apt lists of its own in `work`: updating them needs no root."""
    for each in ("state/lists/partial", "cache/archives/partial"):
        (work / each).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State": work / "state",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "root",  # run as root, apt would become a user who cannot read `work`
        "Debug::NoLocking": "true",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _run(argv: list[str], folder: Path) -> None:
    subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True)
