"""promtool from Debian's package `prometheus`, downloaded and unpacked without root.

That takes seconds; compiled from its Go module it takes many minutes, since it links the discovery
client of every cloud there is.
"""

import platform
import subprocess
import tempfile
from pathlib import Path

from acesniper.testbed.errors import BinariesMissing


def cache_key() -> str:
    """The distribution's release: it decides which version apt gives."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return "unknown"
    return f"{release['ID']}-{release.get('VERSION_ID', 'rolling')}"


def fetch(folder: Path) -> None:
    """Put `promtool` into `folder`. Raises BinariesMissing where apt or the package is absent."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        try:
            try:
                _run(["apt-get", "download", "prometheus"], work)
            except subprocess.CalledProcessError:  # no package lists on this machine, or old ones
                private = _private_apt(work)
                _run(["apt-get", *private, "update"], work)
                _run(["apt-get", *private, "download", "prometheus"], work)
            (package,) = work.glob("prometheus_*.deb")
            _run(["dpkg-deb", "-x", str(package), "unpacked"], work)
        except subprocess.CalledProcessError as failed:
            raise BinariesMissing(f"apt cannot fetch its package:\n{failed.stderr}") from failed
        except FileNotFoundError as absent:
            raise BinariesMissing(f"there is no {absent.filename} to fetch it with") from absent
        program = folder / "promtool"
        program.write_bytes((work / "unpacked/usr/bin/promtool").read_bytes())
        program.chmod(0o755)


def _private_apt(work: Path) -> list[str]:
    """Options that give apt lists of its own in `work`: updating them needs no root."""
    for each in ("state/lists/partial", "cache/archives/partial"):
        (work / each).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State": work / "state",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "root",  # run as root, apt would become a user who cannot read `work`
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _run(argv: list[str], folder: Path) -> None:
    subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True)
