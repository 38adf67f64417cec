"""Download of one file, limited in size and time and verified by its digest."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

from acesniper.api.address import HTTP, OCI, Address
from acesniper.domain.errors import InvalidModel, Unavailable
from acesniper.runtime.artifacts import oci
from acesniper.runtime.artifacts.credentials import NO_CREDENTIALS, Credentials
from acesniper.runtime.artifacts.destinations import ANYWHERE, Destinations
from acesniper.runtime.artifacts.http import Transfer, request, translated
from acesniper.runtime.artifacts.s3 import Bucket

CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Limits of a download: file size and total time. The defaults are those of task pods."""

    most_bytes: int = 16 << 30
    total_s: float = 3600.0


def download(
    address: Address,
    target: Path,
    *,
    sha256: str | None,
    credentials: Credentials = NO_CREDENTIALS,
    limits: DownloadLimits = DownloadLimits(),
    destinations: Destinations = ANYWHERE,
) -> str:
    """Write the file to `target` and return its SHA-256.

    Raises:
        Unavailable: the file cannot be fetched now.
        AddressNotAllowed: a server is at an address outside `destinations`.
        InvalidModel: TooLarge or DigestMismatch; a retry is useless.
    """
    digest = hashlib.sha256()
    size = 0
    transfer = Transfer.after(limits.total_s, destinations)
    with _open(address, sha256 or "", credentials, transfer) as response:
        if (response.length or 0) > limits.most_bytes:
            raise _too_large(address, limits)
        try:
            with target.open("wb") as file:
                for chunk in _chunks(response, address):
                    size += len(chunk)
                    if size > limits.most_bytes:
                        raise _too_large(address, limits)
                    digest.update(chunk)
                    file.write(chunk)
        except OSError as error:
            raise Unavailable(f"{address.shown} cannot be stored: {error}") from error
    actual = digest.hexdigest()
    if sha256 is not None and actual != sha256.lower():
        text = f"{address.shown} has sha256 {actual}, expected {sha256}"
        raise InvalidModel("DigestMismatch", text)
    return actual


def _too_large(address: Address, limits: DownloadLimits) -> InvalidModel:
    limit = f"{limits.most_bytes / 2**20:.0f} MiB"
    return InvalidModel("TooLarge", f"{address.shown} is larger than {limit}")


def _open(
    address: Address, sha256: str, credentials: Credentials, transfer: Transfer
) -> HTTPResponse:
    if address.scheme == "s3":
        return Bucket(address, credentials).get(transfer)
    if address.scheme in OCI:
        return oci.get_blob(address, sha256, credentials, transfer)
    if address.scheme not in HTTP:
        raise AssertionError(f"{address.scheme} is mounted, not fetched")
    authorization = credentials.authorization(address.host)
    headers = {"Authorization": authorization} if authorization else {}
    return request(
        address.uri, headers, shown=address.shown, transfer=transfer, credentials=credentials
    )


def _chunks(response: HTTPResponse, address: Address) -> Iterator[bytes]:
    """The body in chunks; raises Unavailable if it is incomplete."""
    with translated(address.shown):
        while chunk := response.read1(CHUNK_BYTES):
            yield chunk
        if response.length:
            raise ValueError(f"incomplete, {response.length} bytes are missing")
