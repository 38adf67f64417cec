"""One HTTP request, bounded in time, whose credentials stay with the host they are for."""

import io
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from functools import cache
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO
from urllib.parse import quote, urlsplit

from acesniper.domain.errors import Unavailable
from acesniper.runtime.artifacts.credentials import NONE, Credentials
from acesniper.runtime.artifacts.http import SOCKET_S, Deadline, Http, Https

MAX_REDIRECTS = 3
URL_SAFE_CHARS = "%/:?#[]@!$&'()*+,;=~"
MAX_TEXT_CHARS = 200
"""Of what a server says of itself; such text goes into conditions and onto terminals."""


class HttpStatusError(Unavailable):
    """The server answered, but not with what was asked for."""

    def __init__(self, shown: str, status: int, reason: str, headers: Message) -> None:
        hint = "; see the Secret that `secret` names" if status in (401, 403) else ""
        super().__init__(f"{shown} answers {status} {printable(reason)}{hint}")
        self.status = status
        self.headers = headers


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MAX_REDIRECTS

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and scheme != req.type:
            raise urllib.error.URLError(f"it is redirected from {req.type} to {scheme}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def request(
    url: str,
    headers: Mapping[str, str],
    *,
    shown: str,
    deadline: Deadline,
    credentials: Credentials = NONE,
    method: str = "GET",
    body: bytes | None = None,
) -> HTTPResponse:
    """The answer to one request, open; reading it ends by the deadline, too.

    Headers are not sent on to where the server redirects to: some of them are credentials.

    Raises:
        Refused: any status but 2xx.
        Unavailable: there is no answer.
    """
    with translated(shown):
        # Spaces and letters beyond ASCII are written as people see them.
        url = quote(url, safe=URL_SAFE_CHARS)
        asked = urllib.request.Request(url, method=method)  # noqa: S310 - by the opener
        asked.add_header("User-Agent", "acesniper")
        if body is not None:
            # A file is sent piece by piece, each in its time: a slow line may take minutes.
            asked.data = io.BytesIO(body)
            asked.add_unredirected_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            asked.add_unredirected_header(name, _sendable(value))
        try:
            answer: HTTPResponse = _opener(credentials, deadline).open(asked, timeout=SOCKET_S)
        except urllib.error.HTTPError as error:
            with error:
                raise HttpStatusError(shown, error.code, error.reason, error.headers) from None
        return answer


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Turn what goes wrong on the way into Unavailable."""
    try:
        yield
    except (OSError, HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise Unavailable(f"{shown} cannot be fetched: {printable(str(why))}") from error


def printable(text: str) -> str:
    """Of what a server says, what people may be shown."""
    return "".join(each if each.isprintable() else " " for each in text[:MAX_TEXT_CHARS])


def _sendable(value: str) -> str:
    """The value of a header. What cannot be one is not repeated: it may be a credential."""
    if not (value.isascii() and value.isprintable()):
        raise ValueError("the credentials hold a line break or another character no header takes")
    return value


def _opener(credentials: Credentials, deadline: Deadline) -> urllib.request.OpenerDirector:
    """An opener for http and https only; urllib's own would open files, too."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        Http(deadline),
        Https(deadline, _trust(credentials.get("ca.crt"))),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


@cache
def _trust(authority: str) -> ssl.SSLContext:
    """Whom to believe: the system's authorities, and one more. Reading them takes a while."""
    context = ssl.create_default_context()
    if authority:
        context.load_verify_locations(cadata=authority)
    return context
