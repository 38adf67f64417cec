"""Where a runner's model comes from: a file, or an http(s) address that is fetched first."""

import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from acesniper.domain.errors import InvalidModel, Unavailable

TIMEOUT_S = 60.0
MAX_BYTES = 2 << 30
CHUNK_BYTES = 1 << 20


@contextmanager
def local_model(where: str, max_bytes: int = MAX_BYTES) -> Iterator[Path]:
    """The model as a file here; what was fetched is removed at the end.

    The digest is checked by who reads the file, whichever way it came.

    Raises:
        Unavailable: it cannot be fetched now.
        InvalidModel: TooLarge, or UnsupportedSource for any other scheme.
    """
    if "://" not in where:
        yield Path(where)
        return
    if not where.startswith(("http://", "https://")):
        raise InvalidModel("UnsupportedSource", f"{where}: give a file, http:// or https://")
    with tempfile.TemporaryDirectory(prefix="acesniper-model-") as folder:
        target = Path(folder) / (Path(where.split("?")[0]).name or "model.onnx")
        _fetch(where, target, max_bytes)
        yield target


def _fetch(where: str, target: Path, max_bytes: int) -> None:
    size = 0
    try:
        with urllib.request.urlopen(where, timeout=TIMEOUT_S) as answer, target.open("wb") as file:  # noqa: S310 - http(s) only, checked above
            while chunk := answer.read(CHUNK_BYTES):
                size += len(chunk)
                if size > max_bytes:
                    limit = f"{max_bytes / 2**20:.0f} MiB"
                    raise InvalidModel("TooLarge", f"{where} is larger than {limit}")
                file.write(chunk)
    except (urllib.error.URLError, OSError) as error:
        raise Unavailable(f"{where} cannot be fetched: {error}") from error
