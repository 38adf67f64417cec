"""One archive with every image that nodes need, since there is no registry to pull from."""

import shutil
import tempfile
from pathlib import Path

from acesniper.testbed.images import build_images, run
from acesniper.testbed.programs import ensure_binaries, ensure_node_programs, kubernetes_version

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
