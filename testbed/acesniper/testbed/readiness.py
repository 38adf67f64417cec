"""Questions to ask a starting process."""

import http.client
import ssl
from pathlib import Path

from acesniper.testbed.processes import Ready

_TIMEOUT_S = 2.0


def http_ok(port: int, path: str) -> Ready:
    """Whether http://127.0.0.1:PORT/PATH answers 200."""
    return lambda: _status(http.client.HTTPConnection("127.0.0.1", port, _TIMEOUT_S), path) == 200


def https_ok(port: int, path: str, *, ca: Path, cert: Path, key: Path) -> Ready:
    """Whether https://127.0.0.1:PORT/PATH answers 200 to this client certificate."""
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(cert, key)

    def ready() -> bool:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=_TIMEOUT_S, context=context
        )
        return _status(connection, path) == 200

    return ready


def _status(connection: http.client.HTTPConnection, path: str) -> int | None:
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None  # not listening, or not speaking yet
    finally:
        connection.close()
