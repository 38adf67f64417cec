"""Objects of S3-compatible stores: one GET or PUT, signed if there are credentials.

Buckets are addressed by path, which all such stores support. Requests are signed with AWS Signature
Version 4: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPResponse
from urllib.parse import quote, urlsplit

from acesniper.api.address import Address
from acesniper.runtime.artifacts.credentials import Credentials
from acesniper.runtime.artifacts.http import Transfer, request

DEFAULT_REGION = "us-east-1"
MAX_PUT_S = 3600.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Access to a bucket; the address is `s3://BUCKET/PREFIX`."""

    address: Address
    credentials: Credentials
    clock: Callable[[], datetime] = _now

    def get(self, transfer: Transfer) -> HTTPResponse:
        """Open the object at the address; raises Unavailable."""
        return self._send("GET", self.address.path, b"", self.address.shown, transfer)

    def put(self, name: str, content: bytes) -> None:
        """Write an object below the address atomically; raises Unavailable."""
        key = f"{self.address.path.rstrip('/')}/{name}".lstrip("/")
        shown = f"s3://{self.address.host}/{key}"
        self._send("PUT", key, content, shown, Transfer.after(MAX_PUT_S)).close()

    def _send(
        self, method: str, key: str, body: bytes, shown: str, transfer: Transfer
    ) -> HTTPResponse:
        url = f"{self._endpoint()}/{quote(self.address.host)}/{quote(key, safe='/~')}"
        headers = self._signed(method, url, body)
        return request(
            url,
            headers,
            shown=shown,
            transfer=transfer,
            credentials=self.credentials,
            method=method,
            body=body if method == "PUT" else None,
        )

    def _signed(self, method: str, url: str, body: bytes) -> dict[str, str]:
        key_id = self.credentials.get("accessKeyId")
        if not key_id:
            return {}
        return signed_headers(
            method,
            url,
            body,
            key_id=key_id,
            secret=self.credentials.get("secretAccessKey"),
            session_token=self.credentials.get("sessionToken"),
            region=self._region(),
            now=self.clock(),
        )

    def _region(self) -> str:
        return (
            self.address.options.get("region") or self.credentials.get("region") or DEFAULT_REGION
        )

    def _endpoint(self) -> str:
        given = self.address.options.get("endpoint") or self.credentials.get("endpoint")
        return (given or f"https://s3.{self._region()}.amazonaws.com").rstrip("/")


ALGORITHM = "AWS4-HMAC-SHA256"


def signed_headers(
    method: str,
    url: str,
    body: bytes,
    *,
    key_id: str,
    secret: str,
    session_token: str = "",
    region: str,
    now: datetime,
) -> dict[str, str]:
    """Headers of a signed request; `url` is encoded and has no query."""
    parts = urlsplit(url)
    digest = hashlib.sha256(body).hexdigest()
    stamp = f"{now:%Y%m%dT%H%M%SZ}"
    sent = {
        "host": parts.netloc,
        "x-amz-content-sha256": digest,
        "x-amz-date": stamp,
    }
    if session_token:
        sent["x-amz-security-token"] = session_token
    names = ";".join(sorted(sent))
    lines = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
    canonical = f"{method}\n{parts.path or '/'}\n\n{lines}\n{names}\n{digest}"
    scope = f"{now:%Y%m%d}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.new(
        _key(secret, scope), f"{ALGORITHM}\n{stamp}\n{scope}\n{hashed}".encode(), hashlib.sha256
    ).hexdigest()
    sent["authorization"] = (
        f"{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    # urllib sends the same Host header.
    del sent["host"]
    return sent


def _key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
