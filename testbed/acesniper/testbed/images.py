"""The images of Ace-Sniper built without Docker and without a registry.

The very same Dockerfile, by buildah, on a base that debootstrap makes: Debian packages stand in
for the public base image. Needs root, as building file systems does.
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
"""Where the chart's default values expect the images."""
PARTS = ("runner", "probe", "operator", "extender")
RELEASE = "bookworm"
BASES: Mapping[str, str] = {
    "base": "python3,ca-certificates",
    "tools": "python3-venv,ca-certificates",
}
"""Stand-in for a public image, and the Debian packages in it."""
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
        BuildFailed: with the end of what the program said.
    """
    _check_programs()
    for name, packages in BASES.items():
        _ensure_base(name, packages)
    tag = version("acesniper")
    return [_build(part, f"{REPOSITORY}/{part}:{tag}") for part in PARTS]


def _check_programs() -> None:
    missing = [each for each in ("buildah", "debootstrap") if shutil.which(each) is None]
    if missing:
        raise BinariesMissing(
            f"images: {' and '.join(missing)} not found; on Debian, apt install {' '.join(missing)}"
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
        run("debootstrap", "--variant=minbase", f"--include={packages}", RELEASE, root)
        for each in LEFT_OUT:
            shutil.rmtree(root / each, ignore_errors=True)
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
        *("buildah", "bud", "--layers", "--isolation=chroot", "--network=host"),
        # What this machine trusts (a proxy's certificate, say) is trusted while building.
        *("--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"),
        *(f"--build-arg={name}={value}" for name, value in arguments.items()),
        *("--target", part, "--tag", image, ROOT),
    )
    found = json.loads(run("buildah", "images", "--json", image))
    return f"{image}  {found[0]['size']}"


def _digest(*folders: str) -> str:
    """Changes when a tracked file below one of the folders does."""
    listed = run("git", "-C", ROOT, "ls-files", "-z", "--", "pyproject.toml", *folders)
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split("\0"))):
        path = ROOT / name
        if path.is_file():
            digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def run(*argv: str | Path) -> str:
    """Run a program and return what it printed. Raises BuildFailed with the end of that."""
    done = subprocess.run([str(each) for each in argv], capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).splitlines()[-30:]
        raise BuildFailed(f"{' '.join(map(str, argv[:2]))} failed:\n" + "\n".join(said))
    return done.stdout


PAUSE_IMAGE = "localhost/acesniper-pause:1"


def write_archive(path: Path) -> None:
    """Build what is missing and write the archive; layers that images share are in it once."""
    images = [line.split()[0] for line in build_images()]
    scheduler = f"registry.k8s.io/kube-scheduler:{kubernetes_version()}"
    _from_scratch(ensure_node_programs() / "pause", PAUSE_IMAGE, "/")
    _from_scratch(ensure_binaries() / "kube-scheduler", scheduler, "/usr/local/bin/")
    images += [scheduler, PAUSE_IMAGE]
    path.unlink(missing_ok=True)
    run("podman", "save", "--quiet", "--multi-image-archive", "--output", path, *images)


def _from_scratch(program: Path, image: str, folder: str) -> None:
    """An image of one static program."""
    with tempfile.TemporaryDirectory() as context:
        shutil.copy(program.resolve(), Path(context) / program.name)
        (Path(context) / "Dockerfile").write_text(
            f"FROM scratch\nCOPY {program.name} {folder}\nENV PATH={folder}\n"
            f'USER 65532:65532\nENTRYPOINT ["{folder}{program.name}"]\n'
        )
        run("buildah", "bud", "--quiet", "--layers", "--isolation=chroot", "--tag", image, context)
