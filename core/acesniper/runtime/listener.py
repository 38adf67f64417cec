"""A TCP listener with limits, for any HTTP server that is an asyncio protocol.

HTTP servers for asyncio accept every connection, and wait for ever for the rest of a request. Here
each connection has deadlines (TLS handshake, request, response, idle), and all connections together
have a maximum number and a maximum of bytes in unfinished requests. When a limit is reached,
the connections that harm least are closed: those without a complete request first, from the address
with the most of them, oldest first. An honest client that sends its request at once is thus served
while others keep a thousand connections half open.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, cast, get_args

log = logging.getLogger(__name__)

CloseReason = Literal["capacity", "handshake", "request", "response", "idle", "size"]
"""Why a connection was closed: too many connections, a deadline, or too many bytes."""
CLOSE_REASONS: Final[tuple[CloseReason, ...]] = get_args(CloseReason)
BACKLOG = 1024
CHECKS_PER_DEADLINE = 4
MAX_CHECK_S = 1.0
LOG_S = 60.0
"""Closed connections are logged at most once in this time."""
OUT_OF_FILES_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits of one listener; times in seconds.

    `request_s` runs from the first byte of a request (or the start of the connection) to the first
    byte of the response, `response_s` is the longest pause while a response is sent, and `idle_s`
    the longest pause between requests. `request_bytes` limits one request with its headers, and
    `pending_bytes` all requests that are not answered yet.
    """

    connections: int = 64
    handshake_s: float = 5.0
    request_s: float = 10.0
    response_s: float = 30.0
    idle_s: float = 75.0
    request_bytes: int = 64 * 1024
    pending_bytes: int = 1024 * 1024


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Raises:
        OSError: the address is in use, or not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def _close_socket(listening: socket.socket, _: "asyncio.Task[None]") -> None:
    listening.close()


class Listener:
    """Accepts connections on sockets and gives each to a new protocol, within the limits.

    Create it in a running loop. `close` and `wait_closed` are those of `asyncio.Server`.
    """

    def __init__(
        self,
        sockets: Iterable[socket.socket],
        protocol: Callable[[], asyncio.BaseProtocol],
        limits: ConnectionLimits,
        tls: ssl.SSLContext | None = None,
        on_closed: Callable[[CloseReason], None] = lambda reason: None,
    ) -> None:
        self.limits = limits
        self._protocol = protocol
        self._tls = tls
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._new: dict[str, dict[_Connection, None]] = {}
        """By address: connections without a complete request yet, oldest first."""
        self._used: dict[_Connection, None] = {}
        """The other connections, by the time of their last response."""
        self._pending_bytes = 0
        self._unlogged: Counter[CloseReason] = Counter()
        self._logged_at_s = -LOG_S
        self._connecting: set[asyncio.Task[None]] = set()
        self._checking = self._loop.create_task(self._check())
        self._accepting: list[asyncio.Task[None]] = []
        for listening in sockets:
            task = self._loop.create_task(self._accept(listening))
            # Not in the task, which may be cancelled before it starts.
            task.add_done_callback(partial(_close_socket, listening))
            self._accepting.append(task)

    def __len__(self) -> int:
        """The number of connections."""
        return sum(map(len, self._new.values())) + len(self._used)

    def close(self) -> None:
        """Accept no more connections; those that exist keep their deadlines."""
        for task in self._accepting:
            task.cancel()

    async def wait_closed(self) -> None:
        """Close all connections."""
        for connection in self._all():
            connection.abort()
        self._checking.cancel()
        await asyncio.gather(
            self._checking, *self._accepting, *self._connecting, return_exceptions=True
        )

    async def _accept(self, listening: socket.socket) -> None:
        listening.setblocking(False)
        while True:
            try:
                accepted, address = await self._loop.sock_accept(listening)
            except ConnectionError:
                continue  # the client left before
            except OSError as error:
                log.warning("cannot accept connections: %s", error)
                await asyncio.sleep(OUT_OF_FILES_S)
                continue
            self._admit(accepted, str(address[0]))
            await asyncio.sleep(0)  # other tasks run, however many connections wait

    def _admit(self, accepted: socket.socket, address: str) -> None:
        while len(self) >= self.limits.connections:
            self._close(self._least_harm(), "capacity")
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(self, accepted, address)
        self._new.setdefault(address, {})[connection] = None
        task = self._loop.create_task(self._connect(connection, accepted))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: "_Connection", accepted: socket.socket) -> None:
        timeouts: dict[str, Any] = {}
        if self._tls is not None:
            timeout_s = self.limits.handshake_s
            timeouts = {"ssl_handshake_timeout": timeout_s, "ssl_shutdown_timeout": timeout_s}
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, **timeouts
            )
        except OSError:  # the client left, or the handshake failed
            self.forget(connection)
            accepted.close()

    def _least_harm(self) -> "_Connection":
        candidates = max(self._new.values(), key=len) if self._new else self._used
        return next(iter(candidates))

    def make_protocol(self) -> Any:  # noqa: ANN401 - asyncio.Protocol, or one like it
        """The HTTP server's protocol for one connection."""
        return self._protocol()

    def forget(self, connection: "_Connection") -> None:
        """Remove a closed connection."""
        connection.closed = True
        self._release(connection)
        self._remove(connection)

    def responded(self, connection: "_Connection") -> None:
        """Note that a connection has sent its request and receives a response."""
        self._release(connection)
        self._remove(connection)
        self._used[connection] = None

    def received(self, connection: "_Connection", size: int) -> None:
        """Note bytes of a request; closes connections if that is too much."""
        connection.pending_bytes += size
        self._pending_bytes += size
        if connection.pending_bytes > self.limits.request_bytes:
            self._close(connection, "size")
        while self._pending_bytes > self.limits.pending_bytes:
            self._close(max(self._all(), key=lambda other: other.pending_bytes), "size")

    def _release(self, connection: "_Connection") -> None:
        self._pending_bytes -= connection.pending_bytes
        connection.pending_bytes = 0

    def _remove(self, connection: "_Connection") -> None:
        self._used.pop(connection, None)
        same_address = self._new.get(connection.address, {})
        same_address.pop(connection, None)
        if not same_address:
            self._new.pop(connection.address, None)

    def _close(self, connection: "_Connection", reason: CloseReason) -> None:
        self.forget(connection)
        connection.abort()
        self._unlogged[reason] += 1
        self._on_closed(reason)

    def _all(self) -> list["_Connection"]:
        return [*self._used, *(connection for same in self._new.values() for connection in same)]

    async def _check(self) -> None:
        """Close connections at their deadlines, until cancelled."""
        limits = self.limits
        shortest_s = min(limits.handshake_s, limits.request_s, limits.response_s, limits.idle_s)
        while True:
            await asyncio.sleep(min(shortest_s / CHECKS_PER_DEADLINE, MAX_CHECK_S))
            now_s = self._loop.time()
            for connection in self._all():
                if (reason := connection.overdue(now_s)) is not None:
                    self._close(connection, reason)
            if self._unlogged and now_s - self._logged_at_s > LOG_S:
                counts = ", ".join(f"{reason} {n}" for reason, n in self._unlogged.items())
                log.warning("closed connections, by the limit that they exceeded: %s", counts)
                self._unlogged.clear()
                self._logged_at_s = now_s


class _Connection(asyncio.Protocol):
    """Passes the data of one connection to the server's protocol, and notes its progress."""

    def __init__(self, listener: Listener, accepted: socket.socket, address: str) -> None:
        self.address = address
        self.pending_bytes = 0
        self.closed = False
        self._listener = listener
        self._socket = accepted
        self._inner: Any = None
        self._transport: asyncio.Transport | None = None
        self._in_request = True
        self._now_s = asyncio.get_running_loop().time
        self._since_s = self._now_s()
        """Start of the connection or the request, or time of the last part of a response."""

    def overdue(self, now_s: float) -> CloseReason | None:
        """The deadline that has passed, if any."""
        limits, elapsed_s = self._listener.limits, now_s - self._since_s
        if self._transport is None:
            return "handshake" if elapsed_s > limits.handshake_s else None
        if self._in_request:
            return "request" if elapsed_s > limits.request_s else None
        if self._transport.get_write_buffer_size():
            return "response" if elapsed_s > limits.response_s else None
        return "idle" if elapsed_s > limits.idle_s else None

    def abort(self) -> None:
        """Close the connection without sending what is left."""
        if self._transport is not None:
            self._transport.abort()
        else:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # the handshake fails

    def writing(self) -> None:
        """Note a part of a response."""
        self._since_s = self._now_s()
        if self._in_request and not self.closed:
            self._in_request = False
            self._listener.responded(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the server's protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._since_s = self._now_s()
        self._inner = self._listener.make_protocol()
        self._inner.connection_made(_WatchedTransport(self._transport, self))

    def data_received(self, data: bytes) -> None:
        """Count and pass on bytes of a request."""
        if not self._in_request:
            self._in_request, self._since_s = True, self._now_s()
        self._listener.received(self, len(data))
        if not self.closed:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on the end of the client's data."""
        result: bool | None = self._inner.eof_received()
        return result

    def pause_writing(self) -> None:
        """Pass on that the client reads too slowly."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client has read enough."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the server's protocol."""
        self._listener.forget(self)
        self._inner.connection_lost(exc)


class _WatchedTransport:
    """The transport of a connection, which notes the parts of responses."""

    def __init__(self, transport: asyncio.Transport, connection: _Connection) -> None:
        self._transport = transport
        self._connection = connection

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as of the transport
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data."""
        self._connection.writing()
        self._transport.write(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        """Send several parts."""
        self._connection.writing()
        self._transport.writelines(parts)
