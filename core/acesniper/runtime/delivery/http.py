"""One HTTP request, bounded in time, whose credentials stay with the host they are for."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from functools import cache
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO
from urllib.parse import urlsplit

from acesniper.domain.errors import Unavailable
from acesniper.runtime.delivery.credentials import NONE, Credentials

SOCKET_S = 30.0
"""A server that says nothing for so long is given up."""
MOST_REDIRECTS = 3


class Refused(Unavailable):
    """The server answered, but not with what was asked for."""

    def __init__(self, shown: str, status: int, reason: str, headers: Message) -> None:
        hint = "; see the Secret that `secret` names" if status in (401, 403) else ""
        super().__init__(f"{shown} answers {status} {reason}{hint}")
        self.status = status
        self.headers = headers


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MOST_REDIRECTS

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
    credentials: Credentials = NONE,
    method: str = "GET",
    body: bytes | None = None,
) -> HTTPResponse:
    """The answer to one request, open.

    Headers are not sent on to where the server redirects to: some of them are credentials.

    Raises:
        Refused: any status but 2xx.
        Unavailable: there is no answer.
    """
    asked = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - by the opener
    asked.add_header("User-Agent", "acesniper")
    for name, value in headers.items():
        asked.add_unredirected_header(name, value)
    with translated(shown):
        try:
            answer: HTTPResponse = _opener(credentials).open(asked, timeout=SOCKET_S)
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(shown, error.code, error.reason, error.headers) from None
        return answer


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Turn what goes wrong on the way into Unavailable."""
    try:
        yield
    except (OSError, HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise Unavailable(f"{shown} cannot be fetched: {why}") from error


def _opener(credentials: Credentials) -> urllib.request.OpenerDirector:
    """An opener for http and https only; urllib's own would open files, too."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_trust(credentials.get("ca.crt"))),
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
