"""Translation of failed requests to the API server into the errors of `acesniper.domain.errors`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp

from acesniper.api.objects import Json
from acesniper.api.untrusted_json import MalformedJson, parse_json
from acesniper.domain.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NamespaceTerminating,
    NotFound,
    ResourceVersionExpired,
    Throttled,
    Unavailable,
)
from acesniper.domain.foreign_text import bounded_text

MAX_BODY_CHARS = 200
"""Maximum length of the quotation of a response that is not a `Status`, such as a proxy's page."""


@asynccontextmanager
async def translated_errors(what: str) -> AsyncIterator[None]:
    """Translate transport errors into `Unavailable`."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, MalformedJson) as error:
        reason = str(error) or repr(error)  # the text of a TimeoutError is empty
        raise Unavailable(f"{what}: the API server does not answer: {reason}") from error


def error_of_response(status: int, body: bytes, retry_after: str | None, what: str) -> Exception:
    """The error for a failed request, from the `Status` object in the response body."""
    causes: list[Json] = []
    try:
        parsed = parse_json(body)
        message = str(parsed.get("message", ""))
        causes = (parsed.get("details") or {}).get("causes") or []
    except (ValueError, AttributeError):
        message = bounded_text(body.decode(errors="replace"), MAX_BODY_CHARS)
    # The server quotes the rejected object.
    message = bounded_text(message)
    text = f"{what}: {message or 'no reason given'} ({status})"
    match status:
        case HTTPStatus.NOT_FOUND:
            return NotFound(text)
        case HTTPStatus.FORBIDDEN if any(_is_namespace_terminating(cause) for cause in causes):
            return NamespaceTerminating(text)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return Forbidden(text)
        case HTTPStatus.CONFLICT:
            return Conflict(text)
        case HTTPStatus.GONE:
            return ResourceVersionExpired(text)
        case HTTPStatus.TOO_MANY_REQUESTS:
            seconds = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
            return Throttled(text, seconds)
        case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
            return InvalidInput(text)
    return Unavailable(text)


def _is_namespace_terminating(cause: Json) -> bool:
    return cause.get("reason") == "NamespaceTerminating"
