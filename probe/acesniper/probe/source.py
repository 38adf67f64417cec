"""Where a runner's model and input come from: a file here, or an address that is fetched first."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from acesniper.api.address import Address
from acesniper.domain.errors import InvalidModel
from acesniper.probe.model_cache import ModelCache
from acesniper.runtime.artifacts import NO_CREDENTIALS, Credentials, DownloadLimits, download

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A file, and whether its digest was checked on its way here."""

    path: Path
    verified: bool = False


@contextmanager
def local_model(
    where: str,
    sha256: str | None = None,
    *,
    credentials: Credentials = NO_CREDENTIALS,
    cache: ModelCache | None = None,
    limits: DownloadLimits = DownloadLimits(),  # noqa: B008 - frozen
) -> Iterator[LocalModel]:
    """The model as a file here; what was fetched is removed at the end, or stays in the cache.

    Raises:
        Unavailable: it cannot be fetched now.
        InvalidModel: TooLarge, DigestMismatch, or UnsupportedSource for any other scheme.
        InvalidInput: the address is none of ours.
    """
    if "://" not in where:
        yield LocalModel(Path(where))
        return
    address = _fetched(where)

    def fill(target: Path) -> None:
        download(address, target, sha256=sha256, credentials=credentials, limits=limits)

    with tempfile.TemporaryDirectory(prefix="acesniper-model-") as folder:
        # By its own name in a folder of its own: weights beside it may be read, a cache's not.
        target = Path(folder) / (address.file_name or "model.onnx")
        if cache is not None and sha256 is not None and _usable(cache):
            with cache.held(sha256, fill) as cached:
                target.symlink_to(cached)
                yield LocalModel(target, verified=True)
        else:
            fill(target)
            yield LocalModel(target, verified=sha256 is not None)


@contextmanager
def local_input(
    where: str,
    sha256: str | None = None,
    *,
    credentials: Credentials = NO_CREDENTIALS,
    limits: DownloadLimits = DownloadLimits(),  # noqa: B008 - frozen
) -> Iterator[Path]:
    """The input as a file or folder here. Raises as `local_model` does."""
    if "://" not in where:
        yield Path(where)
        return
    address = _fetched(where)
    with tempfile.TemporaryDirectory(prefix="acesniper-input-") as folder:
        target = Path(folder) / (address.file_name or "input.npz")
        download(address, target, sha256=sha256, credentials=credentials, limits=limits)
        yield target


def _fetched(where: str) -> Address:
    address = Address.parse(where)
    if address.mounted:
        text = f"{where} is reached through a volume, in a task's pod only; give its file here"
        raise InvalidModel("UnsupportedSource", text)
    return address


def _usable(cache: ModelCache) -> bool:
    if cache.usable():
        return True
    log.warning("no cache: %s cannot be written", cache.folder)
    return False
