"""HTTP endpoint for the progress of a run; the operator polls it every few seconds.

A task's pod thus needs no permissions in the cluster, and writes nothing.
"""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

MAX_CONNECTIONS = 8
"""Any pod may connect; further connections are closed, so that they take no memory of the run."""


class ProgressServer:
    """Records finished batches and serves the latest count."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started_s = time.monotonic()
        self._state = (0, 0.0)
        """Replaced as a whole, because the server's thread reads it without a lock."""

    def __call__(self, done: int) -> None:
        """Record the number of finished batches; 0 starts the clock."""
        if done == 0:
            self._started_s = time.monotonic()
        self._state = (done, time.monotonic() - self._started_s)

    def json(self) -> str:
        """One line, in the words of `acesniper.api.messages.RunnerProgress`."""
        done, run_s = self._state
        return json.dumps({"done": done, "total": self._total, "run_s": round(run_s, 3)})

    @contextmanager
    def served(self, port: int) -> Iterator[int]:
        """Serve on a port of all addresses (0 for any free one); yields the port."""
        progress = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers every GET with the progress."""

            timeout = 5.0

            def do_GET(self) -> None:
                """Send the progress as JSON."""
                body = progress.json().encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Log nothing: standard output is for the report."""

        with _LimitedServer(("", port), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield server.server_port
            finally:
                server.shutdown()
                thread.join()


class _LimitedServer(http.server.ThreadingHTTPServer):
    """A thread for each connection, up to the limit."""

    def __init__(
        self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler]
    ) -> None:
        self._slots = threading.Semaphore(MAX_CONNECTIONS)
        super().__init__(address, handler)

    def process_request(
        self, request: "socket.socket | tuple[bytes, socket.socket]", client_address: object
    ) -> None:
        """Start a thread, or close the connection."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(
        self, request: "socket.socket | tuple[bytes, socket.socket]", client_address: object
    ) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: a client that leaves is no error of the run."""
