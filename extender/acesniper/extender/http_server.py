"""HTTP servers of the extender: uvicorn behind a listener with limits, and bounded bodies."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import uvicorn
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acesniper.extender.protocol import MAX_NODES
from acesniper.runtime.listener import CloseReason, ConnectionLimits, Listener

MIB = 1024 * 1024
MAX_POD_BYTES = 6 * 3 * MIB // 2
"""etcd stores objects of up to 1.5 MiB, and Go's JSON encoder may write six bytes for one."""
MAX_NODE_NAME_BYTES = 256
"""253 characters, two quotes and a comma."""
MAX_ARGS_BYTES = MAX_POD_BYTES + MAX_NODES * MAX_NODE_NAME_BYTES
"""Maximum size of a request of kube-scheduler."""
MAX_HEADER_BYTES = 64 * 1024

SCHEDULER_LIMITS = ConnectionLimits(
    connections=256,
    # kube-scheduler closes an idle connection after 90 s. If the server closed it first, a request
    # that is being sent would fail, and the scheduler does not retry.
    idle_s=120.0,
    request_bytes=MAX_ARGS_BYTES + MAX_HEADER_BYTES,
    pending_bytes=2 * (MAX_ARGS_BYTES + MAX_HEADER_BYTES),
)
HEALTH_LIMITS = ConnectionLimits(connections=64)
PAGE_LIMITS = ConnectionLimits(
    connections=128,
    request_s=30.0,  # a view of thousands of devices waits until other views were computed
)


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """ASGI middleware that answers 413 to larger bodies, before they are in memory."""

    app: ASGIApp
    max_bytes: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, which reads at most `max_bytes` of the body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        declared = int(lengths[0]) if lengths and lengths[0].isdigit() else 0
        total = 0

        async def limited() -> Message:
            nonlocal total
            if declared > self.max_bytes:
                raise self._too_large()
            message = await receive()
            total += len(message.get("body", b""))
            if total > self.max_bytes:
                raise self._too_large()
            return message

        await self.app(scope, limited, send)

    def _too_large(self) -> HTTPException:
        text = f"the request body is larger than {self.max_bytes} bytes"
        return HTTPException(413, text, headers={"Connection": "close"})


class LimitedServer(uvicorn.Server):
    """A uvicorn server whose connections come from a listener with limits.

    Only one server of a process handles signals.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        listening: socket,
        limits: ConnectionLimits,
        *,
        tls_folder: Path | None = None,
        handles_signals: bool = False,
        on_closed: Callable[[CloseReason], None] = lambda reason: None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                log_level="error",  # clients cause warnings, as many as they send requests
                ws="none",
                lifespan="off",
                server_header=False,
                # The listener closes idle connections; this is only the longer of the two times.
                timeout_keep_alive=int(limits.idle_s) + 1,
            )
        )
        self._listening = listening
        self._limits = limits
        self._tls = None if tls_folder is None else client_certificates_required(tls_folder)
        self._handles_signals = handles_signals
        self._on_closed = on_closed

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets=[])
        listener = Listener(
            [self._listening], self._protocol, self._limits, self._tls, self._on_closed
        )
        self.servers.append(listener)  # type: ignore[arg-type]  # uvicorn closes it, as its own

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals, if this server is the one that does."""
        if not self._handles_signals:
            yield
            return
        with super().capture_signals():
            yield


def client_certificates_required(folder: Path) -> ssl.SSLContext:
    """The TLS context for tls.crt and tls.key; clients need a certificate of ca.crt.

    Raises:
        OSError: a file is missing or not valid.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context
