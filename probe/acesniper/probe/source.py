"""Model and input of a runner: local files, or downloads from an address."""

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
    """A local model file, and whether its digest was checked during the download."""

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
    """The model as a local file; a download is removed at the end, or kept in the cache.

    Raises:
        Unavailable: it cannot be downloaded now.
        InvalidModel: TooLarge, DigestMismatch, or UnsupportedSource for another scheme.
        InvalidInput: the address is malformed.
    """
    if "://" not in where:
        yield LocalModel(Path(where))
        return
    address = _parsed(where)

    def fill(target: Path) -> None:
        download(address, target, sha256=sha256, credentials=credentials, limits=limits)

    with tempfile.TemporaryDirectory(prefix="acesniper-model-") as folder:
        # Under its own name in a separate folder: external weights are looked up in that folder.
        target = Path(folder) / (address.file_name or "model.onnx")
        if cache is not None and sha256 is not None and _is_usable(cache):
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
    """The input as a local file or folder. Raises the same errors as `local_model`."""
    if "://" not in where:
        yield Path(where)
        return
    address = _parsed(where)
    with tempfile.TemporaryDirectory(prefix="acesniper-input-") as folder:
        target = Path(folder) / (address.file_name or "input.npz")
        download(address, target, sha256=sha256, credentials=credentials, limits=limits)
        yield target


def _parsed(where: str) -> Address:
    address = Address.parse(where)
    if address.mounted:
        message = f"{where} is a volume of a task's pod only; pass the path of the file instead"
        raise InvalidModel("UnsupportedSource", message)
    return address


def _is_usable(cache: ModelCache) -> bool:
    if cache.usable():
        return True
    log.warning("model cache disabled: %s is not writable", cache.folder)
    return False
