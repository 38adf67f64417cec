"""Connections that end at a set time, whatever the server does meanwhile.

A socket's own timeout starts anew with every byte: a server that sends one now and then, in a
header or in the length of a chunk, would hold its client for weeks.
"""

import socket
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.request import HTTPHandler, HTTPSHandler, Request

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
