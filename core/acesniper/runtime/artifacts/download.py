"""Brings one file here: bounded in size and time, and only the bytes that were asked for."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

from acesniper.api.address import HTTP, OCI, Address
from acesniper.domain.errors import InvalidModel, Unavailable
from acesniper.runtime.artifacts import oci
from acesniper.runtime.artifacts.credentials import NO_CREDENTIALS, Credentials
from acesniper.runtime.artifacts.http import Deadline, request, translated
from acesniper.runtime.artifacts.s3 import Bucket

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """The largest file, and the longest time.

    The defaults are for pods: how large a model may be is the operator's to say.
    """

    most_bytes: int = 16 << 30
    total_s: float = 3600.0


def download(
    address: Address,
    target: Path,
    *,
    sha256: str | None,
    credentials: Credentials = NO_CREDENTIALS,
    limits: DownloadLimits = DownloadLimits(),
) -> str:
    """Write the file to `target` and return its SHA-256.

    Raises:
        Unavailable: it cannot be had now.
        InvalidModel: TooLarge, DigestMismatch: it will never be what was asked for.
    """
    digest = hashlib.sha256()
    size = 0
    deadline = Deadline.after(limits.total_s)
    with _open(address, sha256 or "", credentials, deadline) as answer:
        try:
            with target.open("wb") as file:
                for chunk in _chunks(answer, address):
                    size += len(chunk)
                    if size > limits.most_bytes:
                        limit = f"{limits.most_bytes / 2**20:.0f} MiB"
                        raise InvalidModel("TooLarge", f"{address.shown} is larger than {limit}")
                    digest.update(chunk)
                    file.write(chunk)
        except OSError as error:
            raise Unavailable(f"{address.shown} cannot be kept here: {error}") from error
    found = digest.hexdigest()
    if sha256 is not None and found != sha256.lower():
        text = f"{address.shown} has sha256 {found}, not {sha256}, which was asked for"
        raise InvalidModel("DigestMismatch", text)
    return found


def _open(
    address: Address, sha256: str, credentials: Credentials, deadline: Deadline
) -> HTTPResponse:
    if address.scheme == "s3":
        return Bucket(address, credentials).get(deadline)
    if address.scheme in OCI:
        return oci.get_blob(address, sha256, credentials, deadline)
    if address.scheme not in HTTP:
        raise AssertionError(f"{address.scheme} is mounted, not fetched")
    authorization = credentials.authorization(address.host)
    headers = {"Authorization": authorization} if authorization else {}
    return request(
        address.uri, headers, shown=address.shown, deadline=deadline, credentials=credentials
    )


def _chunks(answer: HTTPResponse, address: Address) -> Iterator[bytes]:
    """What comes, as it comes; a whole body or Unavailable."""
    with translated(address.shown):
        while chunk := answer.read1(CHUNK_BYTES):
            yield chunk
        if answer.length:
            raise ValueError(f"cut off, {answer.length} bytes are missing")
