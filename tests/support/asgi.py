"""Calls an ASGI application without a server or a client library."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Answer:
    """What the application sent."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever was sent
        """The body, parsed."""
        return json.loads(self.body)


class Gone(bytes):
    """The beginning of a body, after which the client closes the connection."""


async def call(
    app: ASGIApp,
    method: str,
    target: str,
    body: bytes | object = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request; a body that is not bytes is sent as JSON."""
    path, _, query = target.partition("?")
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = [(name.lower().encode(), text.encode()) for name, text in (headers or {}).items()]
    sent: list[Message] = []
    parts: list[Message] = [{"type": "http.request", "body": data, "more_body": False}]
    if isinstance(body, Gone):
        parts = [{**parts[0], "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return parts.pop(0) if len(parts) > 1 else parts[0]

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "server": ("testserver", 80),
        "client": ("testclient", 1),
        "root_path": "",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"content-length", str(len(data)).encode()), *given],
    }
    await app(scope, receive, send)
    start, *rest = sent
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(message.get("body", b"") for message in rest))
