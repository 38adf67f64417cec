"""The HTTP session that kopf uses: its responses hold only JSON that kopf can parse.

kopf parses lists and watches with `json`, where one object that cannot be parsed ends the operator,
again after each restart. A login handler may return a session of its own (`kopf.AiohttpSession`),
so that the same parser as in `acesniper.runtime.client` is in front of kopf's: an object that
cannot be read reaches the handlers as a stub. docs/adr/0020 has the reasons.
"""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any, Self

import aiohttp
import kopf

from acesniper.api.objects import Json
from acesniper.api.untrusted_json import MalformedJson, parse_event, parse_json, parse_list
from acesniper.runtime.api_connection import lines_of

log = logging.getLogger(__name__)

GONE = 410
"""Code of a watch error after which kopf lists again; any other one ends the operator."""


def guarded_session(info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
    """The session for a connection, as kopf would build it, with guarded responses."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        response_class=GuardedResponse,
    )
    return kopf.AiohttpSession(
        aiohttp_session=session,
        server=info.server,
        default_namespace=info.default_namespace,
        priority=info.priority,
        expiration=info.expiration,
    )


class GuardedResponse(aiohttp.ClientResponse):
    """A response of the API server whose JSON kopf can parse."""

    async def start(self, connection: Any) -> Self:  # noqa: ANN401 - a private type of aiohttp
        """Receive the headers; the lines of a watch are then guarded."""
        await super().start(connection)
        if self.url.query.get("watch") == "true" and self.ok:
            self.content = GuardedLines(self.content)  # type: ignore[assignment]  # what kopf uses of it
        return self

    async def json(self, **_: Any) -> Any:  # noqa: ANN401 - as in the base class
        """The parsed body, with stubs for items that cannot be read.

        Raises:
            ClientPayloadError: it is not JSON; kopf then lists again.
        """
        body = await self.read()
        try:
            return parse_list(body)
        except MalformedJson as error:
            if not self.ok:
                raise json.JSONDecodeError(str(error), "", 0) from error  # kopf shows the text
            raise aiohttp.ClientPayloadError(f"not JSON: {error}") from error


class GuardedLines:
    """The stream of a watch: lines that kopf can parse, as events that it can handle."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        """Guard a stream of JSON lines."""
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever aiohttp itself uses of it
        return getattr(self._stream, name)

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        """The lines one by one, whatever their size."""
        async for line in lines_of(self._stream):
            if guarded := _guarded(line):
                yield guarded + b"\n"


def _guarded(line: bytes) -> bytes:
    """The line, one in place of it that kopf can handle, or nothing."""
    try:
        event = parse_json(line)
    except MalformedJson:
        event = None
    if isinstance(event, dict) and _is_handled(event):
        return line
    try:
        event = parse_event(line)
    except MalformedJson as error:
        log.warning("watch event skipped: %s", error)
        return b""
    if event.get("type") == "ERROR":
        log.warning("watch ended by the API server: %.200s", event.get("object"))
        event = {"type": "ERROR", "object": {"code": GONE}}
    if not _is_handled(event):
        log.warning("watch event skipped: %.200r", line)
        return b""
    return json.dumps(event).encode()


def _is_handled(event: Json) -> bool:
    """Whether kopf handles an event without an error that ends it."""
    obj = event.get("object")
    if not isinstance(obj, dict):
        return False
    if event.get("type") == "ERROR":
        return bool(obj.get("code") == GONE)
    return "type" in event and isinstance(obj.get("metadata"), dict)
