"""HTTP endpoint for the progress of a run; the operator polls it every few seconds.

A task's pod thus needs no permissions in the cluster, and writes nothing.
"""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


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

        with http.server.ThreadingHTTPServer(("", port), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield server.server_port
            finally:
                server.shutdown()
                thread.join()
