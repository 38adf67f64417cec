"""Brings one file here: bounded in size and time, and only the bytes that were asked for."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

from acesniper.api.address import HTTP, OCI, Address
from acesniper.domain.errors import InvalidModel, Unavailable
from acesniper.runtime.delivery import oci
from acesniper.runtime.delivery.credentials import NONE, Credentials
from acesniper.runtime.delivery.http import request, translated
from acesniper.runtime.delivery.s3 import Bucket

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
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
    credentials: Credentials = NONE,
    limits: Limits = Limits(),
) -> str:
    """Write the file to `target` and return its SHA-256.

    Raises:
        Unavailable: it cannot be had now.
        InvalidModel: TooLarge, DigestMismatch: it will never be what was asked for.
    """
    digest = hashlib.sha256()
    size = 0
    with _open(address, sha256 or "", credentials) as answer:
        try:
            with target.open("wb") as file:
                for chunk in _chunks(answer, address, limits.total_s):
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


def _open(address: Address, sha256: str, credentials: Credentials) -> HTTPResponse:
    if address.scheme == "s3":
        return Bucket(address, credentials).get()
    if address.scheme in OCI:
        return oci.get(address, sha256, credentials)
    if address.scheme not in HTTP:
        raise AssertionError(f"{address.scheme} is mounted, not fetched")
    authorization = credentials.authorization(address.host)
    headers = {"Authorization": authorization} if authorization else {}
    return request(address.uri, headers, shown=address.shown, credentials=credentials)


def _chunks(answer: HTTPResponse, address: Address, total_s: float) -> Iterator[bytes]:
    """What comes, as it comes; a whole body or Unavailable."""
    deadline_s = time.monotonic() + total_s
    with translated(address.shown):
        # read1 returns with what is there: a server that trickles cannot outlast the deadline.
        while chunk := answer.read1(CHUNK_BYTES):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"not finished after {total_s:g} s")
            yield chunk
        if answer.length:
            raise ValueError(f"cut off, {answer.length} bytes are missing")
