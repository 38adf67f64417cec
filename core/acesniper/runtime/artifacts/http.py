"""One HTTP request, bounded in time, whose credentials stay with the host they are for."""

import io
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection
from typing import IO, Any
from urllib.parse import quote, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, Request

from acesniper.domain.errors import Unavailable
from acesniper.runtime.artifacts.credentials import NO_CREDENTIALS, Credentials

SOCKET_TIMEOUT_S = 30.0
"""A server that says nothing for so long is given up."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a file must have come; by the monotonic clock."""

    total_s: float
    at_s: float

    @classmethod
    def after(cls, total_s: float) -> "Deadline":
        """So many seconds from now."""
        return cls(total_s, time.monotonic() + total_s)

    def patience_s(self) -> float:
        """How long to wait for the next bytes. Raises TimeoutError when the time is up."""
        left_s = self.at_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"not finished after {self.total_s:g} s")
        return min(left_s, SOCKET_TIMEOUT_S)


class _Plain(socket.socket):
    """A socket that reads until its deadline."""

    deadline: Deadline

    def recv_into(self, *arguments: Any, **options: Any) -> int:  # noqa: ANN401 - as the base's
        self.settimeout(self.deadline.patience_s())
        try:
            return super().recv_into(*arguments, **options)
        except TimeoutError:
            self.deadline.patience_s()  # says which time was up
            raise


class _Secure(_Plain, ssl.SSLSocket):
    """Over TLS, whose `recv_into` is the next in line."""


class _SecureConnection(HTTPSConnection):
    deadline: Deadline

    def connect(self) -> None:
        # Shaking hands does not read by `recv_into`, and ends by the socket's timeout as a whole.
        super().connect()
        self.sock.deadline = self.deadline  # type: ignore[union-attr]  # a _Secure, by the context


class Http(HTTPHandler):
    """Opens http:// until a deadline."""

    def __init__(self, deadline: Deadline) -> None:
        """`deadline` ends whatever is opened."""
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: Request) -> HTTPResponse:
        """Open it, as urllib asks for it."""

        def connection(host: str, **options: Any) -> HTTPConnection:  # noqa: ANN401 - urllib's
            return _ending(HTTPConnection(host, **options), self._deadline)

        return self.do_open(connection, req)


class Https(HTTPSHandler):
    """Opens https:// until a deadline."""

    def __init__(self, deadline: Deadline, trust: ssl.SSLContext) -> None:
        """`trust` says whom to believe."""
        super().__init__()
        trust.sslsocket_class = _Secure
        self._deadline = deadline
        self._trust = trust

    def https_open(self, req: Request) -> HTTPResponse:
        """Open it, as urllib asks for it."""

        def connection(host: str, **options: Any) -> HTTPConnection:  # noqa: ANN401 - urllib's
            made = _SecureConnection(host, context=self._trust, **options)
            made.deadline = self._deadline
            return _ending(made, self._deadline)

        return self.do_open(connection, req)


def _ending(connection: HTTPConnection, deadline: Deadline) -> HTTPConnection:
    """The connection, so that it connects by `_connected`: before it speaks to a proxy or TLS."""

    def connect(where: tuple[str, int], *_: object) -> socket.socket:
        return _connected(where, deadline)

    connection._create_connection = connect  # type: ignore[attr-defined]  # typeshed has it not
    return connection


def _connected(where: tuple[str, int], deadline: Deadline) -> socket.socket:
    """A socket to one of a host's addresses; a name may stand for thousands of dead ones."""
    failure = OSError(f"{where[0]} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(*where, type=socket.SOCK_STREAM):
        plain = _Plain(family, kind, protocol)
        plain.deadline = deadline
        try:
            plain.settimeout(deadline.patience_s())
            plain.connect(address)
        except OSError as error:
            plain.close()
            failure = error
        else:
            return plain
    raise failure


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
    credentials: Credentials = NO_CREDENTIALS,
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
            answer: HTTPResponse = _opener(credentials, deadline).open(
                asked, timeout=SOCKET_TIMEOUT_S
            )
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
