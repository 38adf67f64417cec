"""Objects of an S3-compatible store: one GET, one PUT, signed where there are credentials.

Buckets are named in the path, which every such store understands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPResponse
from urllib.parse import quote

from acesniper.api.address import Address
from acesniper.runtime.artifacts.credentials import Credentials
from acesniper.runtime.artifacts.http import Deadline, request
from acesniper.runtime.artifacts.s3 import signed_headers

DEFAULT_REGION = "us-east-1"
MAX_PUT_S = 3600.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, and what is needed to get at it; `s3://BUCKET/PREFIX` names both."""

    address: Address
    credentials: Credentials
    clock: Callable[[], datetime] = _now

    def get(self, deadline: Deadline) -> HTTPResponse:
        """The object at the address, open. Raises Unavailable."""
        return self._ask("GET", self.address.path, b"", self.address.shown, deadline)

    def put(self, name: str, content: bytes) -> None:
        """Write an object below the address, whole or not at all. Raises Unavailable."""
        key = f"{self.address.path.rstrip('/')}/{name}".lstrip("/")
        shown = f"s3://{self.address.host}/{key}"
        self._ask("PUT", key, content, shown, Deadline.after(MAX_PUT_S)).close()

    def _ask(
        self, method: str, key: str, body: bytes, shown: str, deadline: Deadline
    ) -> HTTPResponse:
        url = f"{self._endpoint()}/{quote(self.address.host)}/{quote(key, safe='/~')}"
        headers = self._signed(method, url, body)
        return request(
            url,
            headers,
            shown=shown,
            deadline=deadline,
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
