"""HTTP requests with a total time limit, whose credentials are sent to their host only.

A socket timeout restarts with every byte: a server that sends one byte now and then, in a header or
in the length of a chunk, could keep its client busy for weeks. So connections have a deadline.
"""

import io
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection
from typing import IO, Any
from urllib.parse import quote, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, Request

from acesniper.domain.errors import Unavailable
from acesniper.domain.foreign_text import bounded_text
from acesniper.runtime.artifacts.credentials import NO_CREDENTIALS, Credentials
from acesniper.runtime.artifacts.destinations import ANYWHERE, Destinations

_Resolved = tuple[int, int, int, Any]
"""Family, type, protocol and address of a socket."""

SOCKET_TIMEOUT_S = 30.0
"""Timeout of a connection without data."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """End of a transfer, on the monotonic clock."""

    total_s: float
    at_s: float

    @classmethod
    def after(cls, total_s: float) -> "Deadline":
        """A deadline this many seconds from now."""
        return cls(total_s, time.monotonic() + total_s)

    def remaining_s(self) -> float:
        """Timeout for the next bytes; raises TimeoutError after the deadline."""
        left_s = self.at_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"not finished after {self.total_s:g} s")
        return min(left_s, SOCKET_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer of one or several requests: its deadline and where it may connect to.

    Each name is resolved once, so that a changed DNS answer cannot send what one server answered to
    another.
    """

    deadline: Deadline
    destinations: Destinations = ANYWHERE
    _resolved: dict[tuple[str, int], list[_Resolved]] = field(default_factory=dict)

    @classmethod
    def after(cls, total_s: float, destinations: Destinations = ANYWHERE) -> "Transfer":
        """A transfer that has to end in this many seconds."""
        return cls(Deadline.after(total_s), destinations)

    def resolved(self, host: str, port: int) -> list[_Resolved]:
        """Addresses of a host. Raises AddressNotAllowed if one of them is not allowed."""
        found = self._resolved.get((host, port))
        if found is None:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = [(family, kind, protocol, where) for family, kind, protocol, _, where in infos]
            self.destinations.check(host, (str(where[0]) for *_, where in found))
            self._resolved[host, port] = found
        return found


class _Plain(socket.socket):
    """A socket that applies a deadline to reads."""

    deadline: Deadline

    def recv_into(self, *arguments: Any, **options: Any) -> int:  # noqa: ANN401 - as the base's
        self.settimeout(self.deadline.remaining_s())
        try:
            return super().recv_into(*arguments, **options)
        except TimeoutError:
            self.deadline.remaining_s()  # reports the total time if that is exceeded
            raise


class _Secure(_Plain, ssl.SSLSocket):
    """A TLS socket with a deadline; `recv_into` calls that of SSLSocket."""


class _SecureConnection(HTTPSConnection):
    deadline: Deadline

    def connect(self) -> None:
        # The TLS handshake does not use `recv_into`; the socket timeout limits it as a whole.
        super().connect()
        self.sock.deadline = self.deadline  # type: ignore[union-attr]  # a _Secure, by the context


class Http(HTTPHandler):
    """Opens http:// URLs of a transfer."""

    def __init__(self, transfer: Transfer) -> None:
        """Apply the deadline and the destinations of `transfer` to every connection."""
        super().__init__()
        self._transfer = transfer

    def http_open(self, req: Request) -> HTTPResponse:
        """Open a URL, as called by urllib."""

        def connection(host: str, **options: Any) -> HTTPConnection:  # noqa: ANN401 - urllib's
            return _restricted(HTTPConnection(host, **options), self._transfer)

        return self.do_open(connection, req)


class Https(HTTPSHandler):
    """Opens https:// URLs of a transfer."""

    def __init__(self, transfer: Transfer, trust: ssl.SSLContext) -> None:
        """Verify servers with `trust`."""
        super().__init__()
        trust.sslsocket_class = _Secure
        self._transfer = transfer
        self._trust = trust

    def https_open(self, req: Request) -> HTTPResponse:
        """Open a URL, as called by urllib."""

        def connection(host: str, **options: Any) -> HTTPConnection:  # noqa: ANN401 - urllib's
            connection = _SecureConnection(host, context=self._trust, **options)
            connection.deadline = self._transfer.deadline
            return _restricted(connection, self._transfer)

        return self.do_open(connection, req)


def _restricted(connection: HTTPConnection, transfer: Transfer) -> HTTPConnection:
    """The connection with `_connected` as its connect function, also for proxies and TLS."""

    def connect(where: tuple[str, int], *_: object) -> socket.socket:
        return _connected(where, transfer)

    connection._create_connection = connect  # type: ignore[attr-defined]  # typeshed has it not
    return connection


def _connected(where: tuple[str, int], transfer: Transfer) -> socket.socket:
    """A socket to one of the host's addresses, within the deadline for all of them.

    It connects to the very address that was checked.
    """
    failure = OSError(f"{where[0]} has no address")
    for family, kind, protocol, address in transfer.resolved(*where):
        plain = _Plain(family, kind, protocol)
        plain.deadline = transfer.deadline
        try:
            plain.settimeout(transfer.deadline.remaining_s())
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
"""Limit of server-provided text in messages, conditions and terminal output."""


class HttpStatusError(Unavailable):
    """The server responded with an error status."""

    def __init__(self, shown: str, status: int, reason: str, headers: Message) -> None:
        hint = "; see the Secret that `secret` names" if status in (401, 403) else ""
        super().__init__(f"{shown} responds {status} {printable(reason)}{hint}")
        self.status = status
        self.headers = headers


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MAX_REDIRECTS

    def __init__(self, followed: bool) -> None:
        super().__init__()
        self._followed = followed

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not self._followed:
            raise urllib.error.URLError("redirects are not followed here")
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and scheme != req.type:
            raise urllib.error.URLError(f"redirect from {req.type} to {scheme} is not allowed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def request(
    url: str,
    headers: Mapping[str, str],
    *,
    shown: str,
    transfer: Transfer,
    credentials: Credentials = NO_CREDENTIALS,
    method: str = "GET",
    body: bytes | None = None,
    redirects: bool = True,
) -> HTTPResponse:
    """Send a request and return the open response; the deadline also applies to reading it.

    Headers may hold credentials and are not sent to the target of a redirect.

    Raises:
        HttpStatusError: the status is not 2xx.
        AddressNotAllowed: the server is at an address that the transfer must not connect to.
        Unavailable: there is no response.
    """
    with translated(shown):
        # URLs may contain unescaped spaces and non-ASCII letters.
        url = quote(url, safe=URL_SAFE_CHARS)
        prepared = urllib.request.Request(url, method=method)  # noqa: S310 - by the opener
        prepared.add_header("User-Agent", "acesniper")
        if body is not None:
            # Sent in chunks, each with its own timeout, as a slow link may take minutes.
            prepared.data = io.BytesIO(body)
            prepared.add_unredirected_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            prepared.add_unredirected_header(name, _sendable(value))
        try:
            response: HTTPResponse = _opener(credentials, transfer, redirects).open(
                prepared, timeout=SOCKET_TIMEOUT_S
            )
        except urllib.error.HTTPError as error:
            with error:
                raise HttpStatusError(shown, error.code, error.reason, error.headers) from None
        return response


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Translate transport errors into `Unavailable`."""
    try:
        yield
    except (OSError, HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise Unavailable(f"{shown} cannot be fetched: {printable(str(why))}") from error


def printable(text: str) -> str:
    """Server-provided text that is safe to show: printable and limited in length."""
    return bounded_text(text, MAX_TEXT_CHARS)


def _sendable(value: str) -> str:
    """A valid header value; the error does not quote it, as it may be a credential."""
    if not (value.isascii() and value.isprintable()):
        raise ValueError("the credentials contain a character that is invalid in an HTTP header")
    return value


def _opener(
    credentials: Credentials, transfer: Transfer, redirects: bool
) -> urllib.request.OpenerDirector:
    """An opener for http and https only; the default one also opens files.

    A proxy resolves names itself, so that the check of addresses would be void: transfers with
    restricted destinations do not use the proxies of the environment.
    """
    opener = urllib.request.OpenerDirector()
    proxies: dict[str, str] | None = None if transfer.destinations.everywhere else {}
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.UnknownHandler(),
        Http(transfer),
        Https(transfer, _trust(credentials.get("ca.crt"))),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(redirects),
    ):
        opener.add_handler(handler)
    return opener


@cache
def _trust(authority: str) -> ssl.SSLContext:
    """TLS context with the system's authorities and one more; cached, as loading is slow."""
    context = ssl.create_default_context()
    if authority:
        context.load_verify_locations(cadata=authority)
    return context
