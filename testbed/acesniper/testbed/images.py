"""Container images of Ace-Sniper, built without Docker and without a registry.

buildah builds the product's Dockerfile on a base image that debootstrap makes of Debian packages,
in place of the public one. This needs root. For real nodes, all images go into one archive, as
there is no registry to pull from.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from acesniper.testbed.errors import BinariesMissing, BuildFailed
from acesniper.testbed.programs import ensure_binaries, ensure_node_programs, kubernetes_version

ROOT = Path(__file__).parents[3]
REPOSITORY = "docker.io/acesniper"
"""The repository in the chart's default values."""
PARTS = ("runner", "probe", "operator", "extender")
RELEASE = "bookworm"
MIRROR_VARIABLE = "ACESNIPER_DEBIAN_MIRROR"
"""Address of a Debian archive, or of a snapshot of it: the same packages whenever it is built."""
BASES: Mapping[str, str] = {
    "base": "python3,ca-certificates",
    "tools": "python3-venv,ca-certificates",
}
"""Debian packages of each base image."""
CERTIFICATES = Path("/etc/ssl/certs")
LEFT_OUT = (
    "var/lib/apt/lists",
    "var/cache/apt",
    "var/cache/debconf",
    "var/log",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
)


def build_images() -> Sequence[str]:
    """Build all parts into root's container storage; returns `NAME SIZE` lines.

    Raises:
        BinariesMissing: a program is missing, or this is not root.
        BuildFailed: with the end of the program's output.
    """
    _check_programs()
    for name, packages in BASES.items():
        _ensure_base(name, packages)
    tag = version("acesniper")
    return [_build(part, f"{REPOSITORY}/{part}:{tag}") for part in PARTS]


def _check_programs() -> None:
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing:
        raise BinariesMissing(
            f"images: {' and '.join(missing)} not installed; "
            f"on Debian, apt install {' '.join(missing)}"
        )
    if os.geteuid() != 0:
        raise BinariesMissing("images: debootstrap and buildah --isolation chroot need root")


def _image(name: str) -> str:
    return f"localhost/acesniper-{name}:{RELEASE}"


def _ensure_base(name: str, packages: str) -> None:
    if (
        subprocess.run(
            ["buildah", "inspect", "--type=image", _image(name)], capture_output=True
        ).returncode
        == 0
    ):
        return
    with tempfile.TemporaryDirectory(prefix="acesniper-base-") as folder:
        root = Path(folder) / "root"
        mirror = [url] if (url := os.environ.get(MIRROR_VARIABLE)) else []
        run("debootstrap", "--variant=minbase", f"--include={packages}", RELEASE, root, *mirror)
        for folder_in_root in LEFT_OUT:
            shutil.rmtree(root / folder_in_root, ignore_errors=True)
        container = run("buildah", "from", "scratch").strip()
        try:
            run("buildah", "add", "--quiet", container, root, "/")
            run("buildah", "commit", "--quiet", container, _image(name))
        finally:
            run("buildah", "rm", container)


def _build(part: str, image: str) -> str:
    arguments = {
        "BASE": _image("base"),
        "TOOLS": _image("tools"),
        "LISTS": _digest("requirements", "docker"),
        "SOURCE": _digest("core", "operator", "extender", "predictor", "probe", "cli", "testbed"),
        "VERSION": version("acesniper"),
        "REVISION": run("git", "-C", ROOT, "rev-parse", "HEAD").strip(),
    }
    run(
        "buildah",
        "bud",
        "--layers",
        "--isolation=chroot",
        "--network=host",
        # The build trusts the certificates of this machine, such as a proxy's.
        "--volume",
        f"{CERTIFICATES}:{CERTIFICATES}:ro",
        *(f"--build-arg={name}={value}" for name, value in arguments.items()),
        "--target",
        part,
        "--tag",
        image,
        ROOT,
    )
    (details,) = json.loads(run("buildah", "images", "--json", image))
    return f"{image}  {details['size']}"


def _digest(*folders: str) -> str:
    """A hash of the tracked files below some folders."""
    listed = run("git", "-C", ROOT, "ls-files", "-z", "--", "pyproject.toml", *folders)
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split("\0"))):
        path = ROOT / name
        if path.is_file():
            digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def run(*argv: str | Path) -> str:
    """Run a program and return its output. Raises BuildFailed with the end of the output."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    if done.returncode:
        last = (done.stdout + done.stderr).splitlines()[-30:]
        raise BuildFailed(f"{' '.join(map(str, argv[:2]))} failed:\n" + "\n".join(last))
    return done.stdout


PAUSE_IMAGE = "localhost/acesniper-pause:1"


def write_archive(path: Path) -> None:
    """Build missing images, and write all into one archive; shared layers are stored once."""
    images = [line.split()[0] for line in build_images()]
    scheduler = f"registry.k8s.io/kube-scheduler:{kubernetes_version()}"
    _from_scratch(ensure_node_programs() / "pause", PAUSE_IMAGE, "/")
    _from_scratch(ensure_binaries() / "kube-scheduler", scheduler, "/usr/local/bin/")
    images += [scheduler, PAUSE_IMAGE]
    path.unlink(missing_ok=True)
    run("podman", "save", "--quiet", "--multi-image-archive", "--output", path, *images)


def _from_scratch(program: Path, image: str, folder: str) -> None:
    """Build an image of one static program."""
    with tempfile.TemporaryDirectory() as context:
        shutil.copy(program.resolve(), Path(context) / program.name)
        (Path(context) / "Dockerfile").write_text(
            f"FROM scratch\nCOPY {program.name} {folder}\nENV PATH={folder}\n"
            f'USER 65532:65532\nENTRYPOINT ["{folder}{program.name}"]\n'
        )
        run("buildah", "bud", "--quiet", "--layers", "--isolation=chroot", "--tag", image, context)
