"""Free TCP ports on 127.0.0.1."""

import random
import socket

# Below Linux's ephemeral range (32768 and up): while a server is down, an outgoing connection of
# some other process must not be given its port, or it could not be started again.
_CANDIDATES = range(20000, 32000)


def free_port() -> int:
    """A port nobody listens on right now. Raises OSError when hundreds of tries found none."""
    for port in random.sample(_CANDIDATES, 500):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port on 127.0.0.1")
