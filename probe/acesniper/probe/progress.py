"""How far a run is, for whoever asks over HTTP: the operator, every few seconds.

A pod thus needs no right in the cluster to say how far it is, and writes nothing.
"""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class ProgressServer:
    """Told of every batch that is done; answers with the newest count."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began_s = time.monotonic()
        self._state = (0, 0.0)
        """Replaced whole: the server's thread reads it without a lock."""

    def __call__(self, done: int) -> None:
        """So many batches are done; 0 says that the first one begins."""
        if done == 0:
            self._began_s = time.monotonic()
        self._state = (done, time.monotonic() - self._began_s)

    def json(self) -> str:
        """One line, in the words of `acesniper.api.messages.RunnerProgress`."""
        done, run_s = self._state
        return json.dumps({"done": done, "total": self._total, "run_s": round(run_s, 3)})

    @contextmanager
    def served(self, port: int) -> Iterator[int]:
        """Answer on a port of all addresses (0: any free one); yields the port."""
        progress = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers every GET the same."""

            timeout = 5.0

            def do_GET(self) -> None:
                """Say how far it is."""
                body = progress.json().encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """The container's output is for the report."""

        with http.server.ThreadingHTTPServer(("", port), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield server.server_port
            finally:
                server.shutdown()
                thread.join()
